//! What a request cost, rented or owned, in nano-USD
