//! Findings in a request: checksummed identifiers and secrets
