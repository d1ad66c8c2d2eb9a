//! How much will be won, as a forecast tells it.

use chrono::{DateTime, Utc};
use crm_core::{Error, Money, Result};
use rust_decimal::{Decimal, RoundingStrategy, prelude::FromPrimitive};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::{
    forecast_errors::{self, ForecastErrors},
    four_digits, money,
};
use crate::{
    amounts,
    backtest::misses,
    distribution::{Distribution, Method},
};

/// The distribution of the value that will be won. It is computed, not sampled, on a grid of at most 65,536 steps: quantiles
/// are rounded to a step, the mean is not.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub struct WonValue {
    /// With probability 0.1 no more than this is won.
    pub p10: Money,
    /// With probability 0.5 no more than this is won.
    pub p50: Money,
    /// With probability 0.9 no more than this is won.
    pub p90: Money,
    /// What is won on average.
    pub mean: Money,
    /// How it was computed.
    pub method: DistributionMethod,
    /// Whose method that is.
    pub citation: &'static str,
    /// How far apart the values lie that the quantiles are told from: the sum of all deals by 65,535, or less. A quantile of a
    /// pipeline of 100 million is good to about 1,526.
    pub step: Money,
    /// What will be won with a probability of 80 %, where the forecasts of the past year missed as they did.
    pub likely: LikelyWonValue,
}

/// P10 and P90 moved apart by how far earlier forecasts missed beyond their own intervals. A distribution takes the deals of a
/// stage for alike those of the past; what all deals of a period have in common, as a weak season, no distribution can know.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LikelyWonValue {
    /// True where fewer than five forecasts could be replayed over their whole horizon: then there is no interval.
    pub insufficient_data: bool,
    /// With probability 0.1 less than this is won.
    pub low: Option<Money>,
    /// With probability 0.1 more than this is won.
    pub high: Option<Money>,
    /// By how much forecasts missed beyond what their own distributions allow for, as a share of what they said.
    pub common_error: Option<f64>,
    /// How many forecasts tell of that: one a month over a year.
    pub forecasts_count: u32,
    /// Days after each of them within which a win counted.
    pub horizon_days: u16,
    /// When they were replayed, at night; null where they were not yet.
    pub computed_at: Option<DateTime<Utc>>,
}

/// How a distribution was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DistributionMethod {
    /// Deal by deal: the sums of all ways in which the deals can come out. A value between two steps is split over both, so
    /// that the mean stays.
    Exact,
    /// By the characteristic function of the values as they are, at the frequencies that matter: the sum is too smooth for steps
    /// to be seen.
    Smooth,
    /// By the characteristic function at every frequency. Values are rounded to steps, the rest is carried to the next deal.
    Fourier,
}

impl DistributionMethod {
    /// Where the method is described.
    const fn citation(self) -> &'static str {
        match self {
            Self::Exact => EXACT_CITATION,
            Self::Smooth | Self::Fourier => FOURIER_CITATION,
        }
    }
}

impl From<Method> for DistributionMethod {
    fn from(method: Method) -> Self {
        match method {
            Method::Exact => Self::Exact,
            Method::Smooth => Self::Smooth,
            Method::Fourier => Self::Fourier,
        }
    }
}

const EXACT_CITATION: &str = "Biscarri, Zhao & Brunner 2018, A simple and fast method for computing the Poisson binomial distribution \
     function (direct convolution); over Beta beliefs of each stage by Gauss-Jacobi quadrature, Golub & Welsch 1969";
const FOURIER_CITATION: &str = "Hong 2013, On computing the distribution function for the Poisson binomial distribution (characteristic \
     function); over Beta beliefs of each stage by Gauss-Jacobi quadrature, Golub & Welsch 1969";

/// The distribution in the major units of its currency.
pub(super) fn of(
    distribution: &Distribution,
    errors: Option<ForecastErrors>,
    currency: amounts::Currency,
) -> Result<WonValue> {
    let digits = amounts::digits(currency);
    let major = |units: Decimal| {
        let scaled = Decimal::from_i128_with_scale(1, digits) * units;
        money(scaled.round_dp_with_strategy(digits, RoundingStrategy::MidpointNearestEven))
    };
    let decimal = |units: f64| Decimal::from_f64(units).ok_or_else(|| Error::internal("a value that is no number"));
    let mean = decimal(distribution.mean())?;
    let common_error = errors.and_then(|errors| errors.known());
    let moved = common_error.map(|error| {
        let outer = [distribution.quantile(0.1) as f64, distribution.quantile(0.9) as f64];
        let moments = [distribution.mean(), distribution.deviation()];
        misses::moved_apart(outer, moments, error, distribution.total() as f64)
    });
    let end = |at: usize| moved.map(|ends| major(decimal(ends[at])?)).transpose();
    let likely = LikelyWonValue {
        insufficient_data: common_error.is_none(),
        low: end(0)?,
        high: end(1)?,
        common_error: common_error.map(four_digits),
        forecasts_count: errors.map_or(0, |errors| errors.forecasts_count),
        horizon_days: forecast_errors::HORIZON_DAYS,
        computed_at: errors.map(|errors| errors.computed_at),
    };
    let quantile = |level| major(distribution.quantile(level).into());
    let method = DistributionMethod::from(distribution.method());
    Ok(WonValue {
        p10: quantile(0.1)?,
        p50: quantile(0.5)?,
        p90: quantile(0.9)?,
        mean: major(mean)?,
        method,
        citation: method.citation(),
        step: major(distribution.step().into())?,
        likely,
    })
}
