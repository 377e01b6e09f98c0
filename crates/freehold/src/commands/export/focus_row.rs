//! One row in FOCUS's columns.

use freehold_types::{NanoUsd, Perimeter};
use serde_json::{Map, Value, json};
use time::{Date, Duration, Month, OffsetDateTime};

use super::cells::{Cell, Column, Kind, moment};
use super::focus::{Basis, Group};
use super::focus_prices::Class;

/// What a row is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    Class(Class),
    /// Tokens of all classes, where nobody knows what each of them costs.
    AllTokens,
    /// Nobody knows what it cost.
    Unpriced,
    /// Time of an owned machine that requests took.
    Busy,
    /// Time of an owned machine in which nothing was served, and that falls on these requests.
    Idle,
}

impl Charge {
    const fn id(self) -> &'static str {
        match self {
            Self::Class(class) => class.id(),
            Self::AllTokens => "all_tokens",
            Self::Unpriced => "unknown",
            Self::Busy => "busy_time",
            Self::Idle => "idle_time",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Class(class) => class.words(),
            Self::AllTokens => "Tokens",
            Self::Unpriced => "Tokens at an unknown price",
            Self::Busy => "Machine time of requests",
            Self::Idle => "Idle machine time",
        }
    }
}

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    Whole(u64, &'static str),
    /// As many hours as the money pays for.
    Hours {
        nanos: i128,
        per_hour: NanoUsd,
    },
}

impl Quantity {
    const fn unit(self) -> &'static str {
        match self {
            Self::Whole(_, unit) => unit,
            Self::Hours { .. } => "Hours",
        }
    }

    fn amount(self) -> String {
        match self {
            Self::Whole(count, _) => count.to_string(),
            Self::Hours { nanos, per_hour } => ratio(nanos, i128::from(per_hour.nanos()), 12),
        }
    }

    /// The price of one: times the amount it is the cost, to the nano-dollar.
    fn unit_price(self, nanos: i128) -> String {
        match self {
            Self::Whole(count, _) => {
                let digits = usize::try_from(count.checked_ilog10().unwrap_or(0)).unwrap_or(0);
                ratio(nanos, i128::from(count) * NANOS, 11 + digits)
            }
            Self::Hours { per_hour, .. } => per_hour.to_string(),
        }
    }
}

const NANOS: i128 = 1_000_000_000;

/// A fraction as a decimal with so many digits behind the point, without needless zeros.
fn ratio(numerator: i128, denominator: i128, digits: usize) -> String {
    let sign = if (numerator < 0) == (denominator < 0) {
        ""
    } else {
        "-"
    };
    let (numerator, denominator) = (numerator.unsigned_abs(), denominator.unsigned_abs().max(1));
    let mut rest = numerator % denominator;
    let mut decimals = String::with_capacity(digits);
    for _ in 0..digits {
        rest = rest.saturating_mul(10);
        let digit = u8::try_from(rest / denominator).unwrap_or(9);
        decimals.push(char::from(b'0' + digit.min(9)));
        rest %= denominator;
    }
    let decimals = decimals.trim_end_matches('0');
    let decimals = if decimals.is_empty() { "0" } else { decimals };
    format!("{sign}{}.{decimals}", numerator / denominator)
}

const fn column(name: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Text,
        optional: true,
    }
}

const fn number(name: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Decimal,
        optional: true,
    }
}

/// FOCUS's columns in their order, then our own. docs/export.md describes them, which a test holds.
pub(super) const COLUMNS: &[Column] = &[
    number("BilledCost"),
    column("BillingAccountId"),
    column("BillingAccountName"),
    column("BillingAccountType"),
    column("BillingCurrency"),
    column("BillingPeriodEnd"),
    column("BillingPeriodStart"),
    column("ChargeCategory"),
    column("ChargeClass"),
    column("ChargeDescription"),
    column("ChargeFrequency"),
    column("ChargePeriodEnd"),
    column("ChargePeriodStart"),
    column("CommitmentDiscountCategory"),
    column("CommitmentDiscountId"),
    column("CommitmentDiscountName"),
    column("CommitmentDiscountStatus"),
    column("CommitmentDiscountType"),
    number("ConsumedQuantity"),
    column("ConsumedUnit"),
    number("ContractedCost"),
    number("ContractedUnitPrice"),
    number("EffectiveCost"),
    column("InvoiceId"),
    column("InvoiceIssuerName"),
    number("ListCost"),
    number("ListUnitPrice"),
    column("PricingCategory"),
    column("PricingCurrency"),
    number("PricingCurrencyContractedUnitPrice"),
    number("PricingCurrencyEffectiveCost"),
    number("PricingCurrencyListUnitPrice"),
    number("PricingQuantity"),
    column("PricingUnit"),
    column("ProviderName"),
    column("PublisherName"),
    column("RegionId"),
    column("RegionName"),
    column("ResourceId"),
    column("ResourceName"),
    column("ResourceType"),
    column("ServiceCategory"),
    column("ServiceName"),
    column("ServiceSubcategory"),
    column("SkuId"),
    column("SkuMeter"),
    column("SkuPriceDetails"),
    column("SkuPriceId"),
    column("SubAccountId"),
    column("SubAccountName"),
    column("SubAccountType"),
    column("Tags"),
    number("x_Attempts"),
    column("x_Class"),
    column("x_CostBasis"),
    column("x_Perimeter"),
    column("x_ServiceTier"),
];

/// A row: of one day and group, what is charged for, how much of it, and nano-dollars and attempts.
pub(super) fn row(
    day_ms: u64,
    group: &Group,
    provider: &str,
    charge: Charge,
    quantity: Quantity,
    (nanos, attempts): (i128, u64),
) -> Vec<Cell> {
    let line = Line {
        day_ms,
        group,
        provider,
        charge,
        quantity,
        nanos,
        attempts,
    };
    let cells = COLUMNS.iter().map(|column| match column.kind {
        Kind::Decimal => line.number(column.name).map_or(Cell::None, Cell::Decimal),
        _ => Cell::text(line.what(column.name).or_else(|| line.place(column.name))),
    });
    cells.collect()
}

/// What a row tells.
struct Line<'a> {
    day_ms: u64,
    group: &'a Group,
    provider: &'a str,
    charge: Charge,
    quantity: Quantity,
    nanos: i128,
    attempts: u64,
}

impl Line<'_> {
    fn number(&self, column: &str) -> Option<String> {
        Some(match column {
            "BilledCost"
            | "ContractedCost"
            | "EffectiveCost"
            | "ListCost"
            | "PricingCurrencyEffectiveCost" => {
                let nanos = i64::try_from(self.nanos).unwrap_or(i64::MAX);
                NanoUsd::from_nanos(nanos).to_string()
            }
            "ContractedUnitPrice"
            | "ListUnitPrice"
            | "PricingCurrencyContractedUnitPrice"
            | "PricingCurrencyListUnitPrice" => self.quantity.unit_price(self.nanos),
            "ConsumedQuantity" | "PricingQuantity" => self.quantity.amount(),
            "x_Attempts" => self.attempts.to_string(),
            _ => return None,
        })
    }

    /// What was charged for, and when.
    fn what(&self, column: &str) -> Option<String> {
        let (group, charge) = (self.group, self.charge);
        let basis = match group.basis {
            Some(Basis::Tokens) => "tokens",
            Some(Basis::Hours) => "hours",
            Some(Basis::Reported) => "reported",
            None => "unknown",
        };
        let text = match column {
            "BillingCurrency" | "PricingCurrency" => "USD",
            "ChargeCategory" => "Usage",
            "ChargeFrequency" => "Usage-Based",
            "ConsumedUnit" | "PricingUnit" => self.quantity.unit(),
            "PricingCategory" if group.tier.is_empty() => "Standard",
            "PricingCategory" => "Other",
            "SkuId" => group.model(),
            "SkuMeter" => charge.words(),
            "x_Class" => charge.id(),
            "x_CostBasis" => basis,
            "x_ServiceTier" if !group.tier.is_empty() => group.tier,
            "BillingPeriodStart" => return Some(billing_period(self.day_ms)[0].clone()),
            "BillingPeriodEnd" => return Some(billing_period(self.day_ms)[1].clone()),
            "ChargePeriodStart" => return Some(moment(self.day_ms)),
            "ChargePeriodEnd" => return Some(moment(self.day_ms + 86_400_000)),
            "ChargeDescription" => {
                return Some(format!("{} of {}", charge.words(), group.deployment));
            }
            "SkuPriceDetails" => return Some(json!({"x_Class": charge.id()}).to_string()),
            "SkuPriceId" => return Some(format!("{}/{}", group.model(), charge.id())),
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// Whose it is, and where.
    fn place(&self, column: &str) -> Option<String> {
        let group = self.group;
        let text = match column {
            "BillingAccountId" | "BillingAccountName" => group.backend.as_str(),
            "BillingAccountType" => "Backend",
            "InvoiceIssuerName" | "ProviderName" | "PublisherName" => self.provider,
            "RegionId" | "RegionName" => group.region.as_ref()?.as_str(),
            "ResourceId" => group.deployment.as_str(),
            "ResourceName" => group.model(),
            "ResourceType" => "Model",
            "ServiceCategory" => "AI and Machine Learning",
            "ServiceSubcategory" => "Generative AI",
            "ServiceName" => "Model inference",
            "SubAccountId" | "SubAccountName" => group.key.as_str(),
            "SubAccountType" => "API key",
            "Tags" => return Some(tags(group)),
            "x_Perimeter" => match group.perimeter {
                Perimeter::Inside => "inside",
                Perimeter::Outside => "outside",
            },
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn tags(group: &Group) -> String {
    let mut tags = Map::new();
    tags.insert("key".to_owned(), Value::from(group.key.as_str()));
    if let Some(team) = &group.team {
        tags.insert("team".to_owned(), Value::from(team.as_str()));
    }
    if let Some(flow) = &group.flow {
        tags.insert("flow".to_owned(), Value::from(flow.as_str()));
    }
    Value::Object(tags).to_string()
}

/// The month of a day: its first day, and the next month's.
fn billing_period(day_ms: u64) -> [String; 2] {
    let seconds = i64::try_from(day_ms / 1_000).unwrap_or(0);
    let day = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let first = first_of(day.year(), day.month()).unwrap_or(day);
    let within_next = first + Duration::days(31);
    let next = first_of(within_next.year(), within_next.month()).unwrap_or(within_next);
    [first, next].map(|at| moment(u64::try_from(at.unix_timestamp()).unwrap_or(0) * 1_000))
}

fn first_of(year: i32, month: Month) -> Option<OffsetDateTime> {
    let date = Date::from_calendar_date(year, month, 1).ok()?;
    Some(date.midnight().assume_utc())
}
