//! The one outbound HTTP adapter: dialect x endpoint row
