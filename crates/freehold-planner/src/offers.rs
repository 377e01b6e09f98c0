//! What GPUs cost to rent and to buy.

use serde::Deserialize;

use crate::error::PlanError;
use crate::range::Range;

/// One kind of GPU on the market.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The GPU, as the simulator's catalogue names it.
    pub gpu: String,
    /// On demand, USD per GPU and hour.
    pub on_demand: Option<Range>,
    /// Interruptible, USD per GPU and hour.
    pub spot: Option<Range>,
    /// To buy, USD per GPU with its share of the server.
    pub buy: Option<Range>,
    /// GPUs that are bought together: 8 where they come as one board.
    pub sold_in: u32,
    /// Where the figures are from.
    pub source: String,
}

/// A row of the bundled table.
#[derive(Deserialize)]
struct Row {
    gpu: String,
    rent_low: f64,
    rent_base: f64,
    rent_high: f64,
    spot_low: f64,
    spot_base: f64,
    spot_high: f64,
    buy_low: f64,
    buy_base: f64,
    buy_high: f64,
    sold_in: u32,
    source: String,
}

impl Offer {
    /// The bundled offers.
    ///
    /// # Errors
    /// [`PlanError::Malformed`] when the bundled table is broken, which this crate's tests would find.
    pub fn bundled() -> Result<Vec<Self>, PlanError> {
        let table = include_str!("../data/gpu_offers.csv");
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_reader(table.as_bytes());
        let mut offers = Vec::new();
        for row in reader.deserialize() {
            let row: Row = row.map_err(|error| PlanError::Malformed {
                what: "the bundled GPU prices".to_owned(),
                why: error.to_string(),
            })?;
            let range = |low, base, high| Some(Range { low, base, high });
            offers.push(Self {
                gpu: row.gpu,
                on_demand: range(row.rent_low, row.rent_base, row.rent_high),
                spot: range(row.spot_low, row.spot_base, row.spot_high),
                buy: range(row.buy_low, row.buy_base, row.buy_high),
                sold_in: row.sold_in,
                source: row.source,
            });
        }
        Ok(offers)
    }

    /// An offer without any price, to be filled in.
    #[must_use]
    pub fn unpriced(gpu: &str) -> Self {
        Self {
            gpu: gpu.to_owned(),
            on_demand: None,
            spot: None,
            buy: None,
            sold_in: 1,
            source: "given on the command line".to_owned(),
        }
    }

    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// [`PlanError::Assumption`] or [`PlanError::NoPrice`].
    pub fn check(&self) -> Result<(), PlanError> {
        let prices = [
            ("on demand", self.on_demand),
            ("spot", self.spot),
            ("purchase", self.buy),
        ];
        if prices.iter().all(|(_, range)| range.is_none()) {
            return Err(PlanError::NoPrice {
                model: format!("an hour of {}", self.gpu),
                hint: "give --gpu-usd-per-hour, or --gpu-usd to buy".to_owned(),
            });
        }
        for (name, range) in prices {
            let Some(range) = range else { continue };
            let key = format!("{} {name}", self.gpu);
            range.check(&key)?;
            if range.low <= 0.0 {
                let why = format!("{} is no price; it must be above 0", range.low);
                return Err(PlanError::Assumption { key, why });
            }
        }
        if self.sold_in == 0 {
            let why = "GPUs are sold in lots of at least 1".to_owned();
            return Err(PlanError::Assumption {
                key: self.gpu.clone(),
                why,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundled_offers_make_sense() {
        let offers = Offer::bundled().unwrap();
        assert!(offers.len() >= 6);
        for offer in offers {
            offer.check().unwrap();
            assert!(!offer.source.is_empty());
        }
    }

    #[test]
    fn an_offer_without_a_price_says_what_to_give() {
        let told = Offer::unpriced("X9").check().unwrap_err().to_string();
        assert!(
            told.contains("X9") && told.contains("--gpu-usd-per-hour"),
            "{told}"
        );
    }
}
