//! Traits between the request path and the outside world
