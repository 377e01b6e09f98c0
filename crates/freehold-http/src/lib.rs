//! HTTP surfaces: client dialects, health, metrics
