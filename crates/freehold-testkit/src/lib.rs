//! Fake upstreams with faults, a fake clock and fixtures for tests
