//! Dialects in both directions, without I/O: OpenAI chat and Anthropic messages
