//! From tokens' bytes to text: whole characters only, and nothing past a stop text.

pub(crate) mod assemble;
pub(crate) mod stop;
pub(crate) mod utf8;
