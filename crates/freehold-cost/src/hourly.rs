//! What an hour of an owned machine costs, from what was paid for it and what it takes to run it.

use freehold_types::NanoUsd;

/// Hours of a year: 365.25 days.
pub const HOURS_PER_YEAR: f64 = 8_766.0;

/// What an owned machine costs its owner.
///
/// ```text
/// per hour = (capex - residual) / (life x 8766)                         wear
///          + (capex + residual) / 2 x capital cost per year / 8766      money that is tied up
///          + watts / 1000 x PUE x price of a kWh                        power and cooling
///          + staff cost per year x share / 8766                         the people who run it
///          + other cost per year / 8766                                 space, network, licences
/// ```
///
/// Straight-line depreciation and the average of what is tied up at both ends of a life, as in any
/// text on engineering economics. PUE is the ratio of what a data centre draws to what its machines
/// draw (ISO/IEC 30134-2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OwnedCosts {
    /// What the machine cost, in dollars.
    pub capex_usd: f64,
    /// What it will be worth at the end of its life, in dollars.
    pub residual_usd: f64,
    /// How long it is used, in years.
    pub life_years: f64,
    /// What capital costs, in percent of it per year.
    pub capital_percent: f64,
    /// What it draws on average, in watts.
    pub power_watts: f64,
    /// What the building draws for each watt of it.
    pub pue: f64,
    /// The price of electricity, in dollars per kWh.
    pub usd_per_kwh: f64,
    /// What one person who runs such machines costs in a year, in dollars.
    pub staff_usd_per_year: f64,
    /// The part of a person's time that this machine takes, 0 to 1 for each person.
    pub staff_share: f64,
    /// Space, network, licences, support, in dollars per year.
    pub other_usd_per_year: f64,
}

impl Default for OwnedCosts {
    /// Nothing costs anything; a life of four years, at a PUE of one.
    fn default() -> Self {
        Self {
            capex_usd: 0.0,
            residual_usd: 0.0,
            life_years: 4.0,
            capital_percent: 0.0,
            power_watts: 0.0,
            pue: 1.0,
            usd_per_kwh: 0.0,
            staff_usd_per_year: 0.0,
            staff_share: 0.0,
            other_usd_per_year: 0.0,
        }
    }
}

/// Why nobody can tell what an hour costs.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum BadCosts {
    /// A figure is negative or no number.
    #[error("{field} is {value}: it must be 0 or more")]
    Negative {
        /// The figure's name.
        field: &'static str,
        /// The figure.
        value: f64,
    },
    /// A life of no time.
    #[error("life_years is {0}: it must be more than 0 and at most 100")]
    Life(f64),
    /// A building draws at least what its machines do.
    #[error("pue is {0}: it lies between 1 and 10")]
    Pue(f64),
    /// It is worth more at the end than at the beginning.
    #[error("residual_usd is more than capex_usd")]
    Residual,
    /// An hour costs more than can be counted.
    #[error("an hour would cost more than can be counted")]
    TooLarge,
}

/// The parts of what an hour costs, in dollars.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct HourlyParts {
    /// Wear: what the machine loses in value.
    pub wear_usd: f64,
    /// Money that is tied up.
    pub capital_usd: f64,
    /// Power and cooling.
    pub power_usd: f64,
    /// The people who run it.
    pub staff_usd: f64,
    /// Everything else.
    pub other_usd: f64,
}

impl HourlyParts {
    /// All of them.
    pub fn total_usd(&self) -> f64 {
        self.wear_usd + self.capital_usd + self.power_usd + self.staff_usd + self.other_usd
    }
}

impl OwnedCosts {
    /// What an hour costs, part by part.
    ///
    /// # Errors
    /// When a figure makes no sense.
    pub fn parts(&self) -> Result<HourlyParts, BadCosts> {
        self.check()?;
        let tied_up = f64::midpoint(self.capex_usd, self.residual_usd);
        Ok(HourlyParts {
            wear_usd: (self.capex_usd - self.residual_usd) / (self.life_years * HOURS_PER_YEAR),
            capital_usd: tied_up * self.capital_percent / 100.0 / HOURS_PER_YEAR,
            power_usd: self.power_watts / 1_000.0 * self.pue * self.usd_per_kwh,
            staff_usd: self.staff_usd_per_year * self.staff_share / HOURS_PER_YEAR,
            other_usd: self.other_usd_per_year / HOURS_PER_YEAR,
        })
    }

    /// What an hour costs, to the nearest nano-dollar.
    ///
    /// # Errors
    /// When a figure makes no sense.
    pub fn per_hour(&self) -> Result<NanoUsd, BadCosts> {
        NanoUsd::from_usd(self.parts()?.total_usd()).ok_or(BadCosts::TooLarge)
    }

    fn check(&self) -> Result<(), BadCosts> {
        for (field, value) in [
            ("capex_usd", self.capex_usd),
            ("residual_usd", self.residual_usd),
            ("capital_percent", self.capital_percent),
            ("power_watts", self.power_watts),
            ("usd_per_kwh", self.usd_per_kwh),
            ("staff_usd_per_year", self.staff_usd_per_year),
            ("staff_share", self.staff_share),
            ("other_usd_per_year", self.other_usd_per_year),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(BadCosts::Negative { field, value });
            }
        }
        if !(self.life_years > 0.0 && self.life_years <= 100.0) {
            return Err(BadCosts::Life(self.life_years));
        }
        if !(1.0..=10.0).contains(&self.pue) {
            return Err(BadCosts::Pue(self.pue));
        }
        if self.residual_usd > self.capex_usd {
            return Err(BadCosts::Residual);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server for 35,064 $ over four years is a dollar an hour, by hand.
    fn server() -> OwnedCosts {
        OwnedCosts {
            capex_usd: 35_064.0,
            life_years: 4.0,
            ..OwnedCosts::default()
        }
    }

    #[test]
    fn each_part_is_what_a_pocket_calculator_says() {
        assert_eq!(server().per_hour().unwrap().nanos(), 1_000_000_000);
        let full = OwnedCosts {
            residual_usd: 8_766.0, // (35,064 - 8,766) / 35,064 h = 0.75
            capital_percent: 8.0,  // 21,915 x 0.08 / 8,766 h = 0.2
            power_watts: 2_000.0,  // 2 kW x 1.5 x 0.2 = 0.6
            pue: 1.5,
            usd_per_kwh: 0.2,
            staff_usd_per_year: 87_660.0, // 10 an hour x 0.05 = 0.5
            staff_share: 0.05,
            other_usd_per_year: 876.6, // 0.1
            ..server()
        };
        let parts = full.parts().unwrap();
        let near = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-12, "{value}");
        near(parts.wear_usd, 0.75);
        near(parts.capital_usd, 0.2);
        near(parts.power_usd, 0.6);
        near(parts.staff_usd, 0.5);
        near(parts.other_usd, 0.1);
        assert_eq!(full.per_hour().unwrap().nanos(), 2_150_000_000);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let with = |change: fn(&mut OwnedCosts)| {
            let mut costs = server();
            change(&mut costs);
            costs.per_hour().unwrap_err().to_string()
        };
        for (told, part) in [
            (with(|costs| costs.capex_usd = -1.0), "capex_usd is -1"),
            (with(|costs| costs.power_watts = f64::NAN), "power_watts"),
            (
                with(|costs| costs.usd_per_kwh = f64::INFINITY),
                "usd_per_kwh",
            ),
            (with(|costs| costs.life_years = 0.0), "life_years"),
            (with(|costs| costs.life_years = f64::NAN), "life_years"),
            (with(|costs| costs.pue = 0.9), "pue"),
            (with(|costs| costs.residual_usd = 1e9), "residual_usd"),
            (with(|costs| costs.capex_usd = 1e300), "counted"),
        ] {
            assert!(told.contains(part), "{told}");
        }
    }
}
