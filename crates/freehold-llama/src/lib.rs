//! The embedded llama.cpp engine behind the Backend trait
