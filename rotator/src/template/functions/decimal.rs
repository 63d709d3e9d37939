//! Decimal numbers: what `addf` and its like compute with, so that 0.1 and 0.2 make 0.3.

use num_bigint::BigInt;

use crate::template::run::Fail;

/// Digits after the point of a quotient.
const QUOTIENT_DIGITS: i32 = 16;
/// More digits than any float has: products of many factors stop here.
const DIGITS_MAX: u64 = 20_000;

/// `coefficient × 10^exponent`
#[derive(Clone)]
pub(super) struct Decimal {
    coefficient: BigInt,
    exponent: i32,
}

impl Decimal {
    /// The shortest decimal that is this float.
    pub(super) fn of(value: f64) -> Result<Self, Fail> {
        let text = format!("{value:e}");
        let parsed = text.split_once('e').and_then(|(mantissa, exponent)| {
            let exponent: i32 = exponent.parse().ok()?;
            let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
            let coefficient: BigInt = format!("{whole}{fraction}").parse().ok()?;
            Some(Self { coefficient, exponent: exponent - i32::try_from(fraction.len()).ok()? })
        });
        parsed.ok_or_else(|| Fail::new("not a finite number"))
    }

    fn limited(self) -> Result<Self, Fail> {
        if self.coefficient.bits() > DIGITS_MAX * 3 {
            return Err(Fail::new("a number has too many digits"));
        }
        Ok(self)
    }

    /// The same number with another exponent, which is not larger.
    fn scaled(&self, exponent: i32) -> BigInt {
        let power = u32::try_from(self.exponent - exponent).unwrap_or(0);
        &self.coefficient * BigInt::from(10).pow(power)
    }

    pub(super) fn plus(self, other: &Self) -> Result<Self, Fail> {
        let exponent = self.exponent.min(other.exponent);
        Self { coefficient: self.scaled(exponent) + other.scaled(exponent), exponent }.limited()
    }

    pub(super) fn minus(self, other: &Self) -> Result<Self, Fail> {
        let exponent = self.exponent.min(other.exponent);
        Self { coefficient: self.scaled(exponent) - other.scaled(exponent), exponent }.limited()
    }

    pub(super) fn times(self, other: &Self) -> Result<Self, Fail> {
        let exponent = self.exponent + other.exponent;
        Self { coefficient: self.coefficient * &other.coefficient, exponent }.limited()
    }

    /// Rounded half away from zero.
    pub(super) fn over(self, other: &Self) -> Result<Self, Fail> {
        if other.coefficient == BigInt::ZERO {
            return Err(Fail::new("divides by zero"));
        }
        // One digit more than wanted, then rounded.
        let wanted = -QUOTIENT_DIGITS - 1;
        let shift = self.exponent - other.exponent - wanted;
        let ten = BigInt::from(10);
        let power = ten.pow(shift.unsigned_abs());
        let quotient = if shift >= 0 {
            self.coefficient * power / &other.coefficient
        } else {
            self.coefficient / (&other.coefficient * power)
        };
        let half = if quotient < BigInt::ZERO { BigInt::from(-5) } else { BigInt::from(5) };
        Self { coefficient: (quotient + half) / ten, exponent: -QUOTIENT_DIGITS }.limited()
    }

    /// The nearest float.
    pub(super) fn float(&self) -> f64 {
        format!("{}e{}", self.coefficient, self.exponent).parse().unwrap_or(f64::NAN)
    }
}
