//! Vocabulary of the gateway: ids, money, tokens, the canonical request, events and outcomes
