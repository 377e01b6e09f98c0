//! Permit, catalogue, health and difficulty in; an explained Plan out
