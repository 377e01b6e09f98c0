//! The red-team table, row by row: what an attacker tries through the clients' surfaces, with a
//! canary in every request. `docs/red-team.md` says which test proves which row.

mod closed;
mod disguises;
mod echoes;
mod names;
mod opaque;
mod overrides;
mod places;
mod splits;
mod tenants;
