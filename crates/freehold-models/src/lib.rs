//! The model store: pull, pin, verify and remove model files
