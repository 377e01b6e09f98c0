//! Where a book's prices come from: compiled in, or read from a newer file of the same form.

use std::collections::HashMap;

use freehold_types::price::BookId;
use genai_prices::Calculator;
use parking_lot::RwLock;

use super::PriceBook;

/// The version of the price data that is compiled in.
pub const BUNDLED_VERSION: &str = "0.2.1";

/// Where the project that keeps the price data publishes the newest.
pub const BOOK_URL: &str = genai_prices::REMOTE_DATA_URL;

/// The largest file that is read as a price book. Today's is under 1 MiB.
pub const BOOK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A book with fewer providers or models than this has lost most of what it had.
const PROVIDERS_MIN: usize = 10;
const MODELS_MIN: usize = 300;

/// Providers that every book has.
const ANCHORS: [&str; 3] = ["openai", "anthropic", "mistral"];

/// A token dearer than this, in dollars per million, is a slip of the decimal point.
const USD_PER_MILLION_MAX: f64 = 100_000.0;

/// Why a file cannot be a price book.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBook {
    /// It is larger than [`BOOK_BYTES_MAX`].
    #[error("it has {bytes} bytes; at most {BOOK_BYTES_MAX} are read")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// It does not have the form of the price data.
    #[error("it is not price data: {0}")]
    Malformed(String),
    /// It has the form, and too little in it.
    #[error("it has {providers} providers and {models} models, or lacks {}", ANCHORS.join(", "))]
    TooSmall {
        /// How many providers it has.
        providers: usize,
        /// How many models.
        models: usize,
    },
    /// It has a price that nobody asks.
    #[error("the price of {model} of {provider} is beyond all sense")]
    Absurd {
        /// The provider.
        provider: String,
        /// The model.
        model: String,
    },
}

/// The decoded price data.
pub(super) enum Data {
    /// Once per process, at its first use.
    Bundled,
    Read(Box<Calculator>),
}

impl Data {
    pub(super) fn calculator(&self) -> &Calculator {
        match self {
            Self::Bundled => Calculator::bundled(),
            Self::Read(calculator) => calculator,
        }
    }
}

impl PriceBook {
    /// The price book that is compiled in. It costs nothing until a list price is looked up.
    pub fn bundled() -> Self {
        Self {
            data: Data::Bundled,
            id: BookId::new(&format!("genai-{BUNDLED_VERSION}")),
            samples: RwLock::default(),
        }
    }

    /// A price book from the text of a genai-prices v2 data file. `id` is what costs are marked with.
    ///
    /// # Errors
    /// When it is no price data, or price data with most of it missing, or with absurd prices.
    pub fn from_json(data: &[u8], id: BookId) -> Result<Self, BadBook> {
        if data.len() > BOOK_BYTES_MAX {
            return Err(BadBook::TooLarge { bytes: data.len() });
        }
        let calculator = Calculator::from_json(data).map_err(|error| {
            // It may quote the file.
            let message: String = error.to_string().chars().take(300).collect();
            BadBook::Malformed(message)
        })?;
        let book = Self {
            data: Data::Read(Box::new(calculator)),
            id,
            samples: RwLock::new(HashMap::new()),
        };
        book.check()?;
        Ok(book)
    }

    /// Decodes the data now, so that no request has to wait for it.
    pub fn prepare(&self) {
        self.data.calculator();
    }

    /// What costs are marked with.
    pub const fn id(&self) -> BookId {
        self.id
    }

    /// How many providers it knows, and how many of their models.
    pub fn size(&self) -> (usize, usize) {
        let providers = self.data.calculator().providers();
        providers.fold((0, 0), |(providers, models), provider| {
            (providers + 1, models + provider.models().count())
        })
    }

    fn check(&self) -> Result<(), BadBook> {
        let (providers, models) = self.size();
        let has_anchors = ANCHORS.iter().all(|id| self.provider_id(id).is_some());
        if providers < PROVIDERS_MIN || models < MODELS_MIN || !has_anchors {
            return Err(BadBook::TooSmall { providers, models });
        }
        for provider in self.data.calculator().providers() {
            for model in provider.models() {
                let highest = self.highest_usd_per_million(provider.id(), model.id());
                if highest.is_some_and(|usd| usd > USD_PER_MILLION_MAX) {
                    return Err(BadBook::Absurd {
                        provider: super::short(provider.id()),
                        model: super::short(model.id()),
                    });
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
