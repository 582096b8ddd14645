//! Numeric dates (RFC 7519 §2): JSON numbers of seconds, fractions and exponents included, kept so
//! exactly that no comparison is ever rounded in a token's favour.

/// The last second of the year 9999.
pub(crate) const SECONDS_MAX: i64 = 253_402_300_799;

/// The first second of the year 1.
const SECONDS_MIN: i64 = -62_135_596_800;

const FRACTION_DIGITS: usize = 18;
const FRACTION_UNITS: u64 = 10_u64.pow(FRACTION_DIGITS as u32);

/// A moment: whole seconds rounded down, then the fraction in units of 10^-18 s, rounded down too;
/// `inexact` where digits followed beyond these. Ordered as the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    seconds: i64,
    fraction: u64,
    inexact: bool,
}

impl Moment {
    /// Reads a number that is known to follow the JSON grammar; `None` outside the years 1 to 9999.
    pub(crate) fn from_number(number: &str) -> Option<Moment> {
        // What issuers write: whole seconds since 1970.
        const SECONDS_DIGITS_MAX: usize = 11; // all of them are years before 9999
        if number.len() <= SECONDS_DIGITS_MAX
            && let Ok(seconds @ 0..) = number.parse()
        {
            return Some(Moment { seconds, fraction: 0, inexact: false });
        }
        let (negative, digits) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let magnitude = magnitude(digits)?;
        let moment = if negative { magnitude.negated() } else { magnitude };
        (SECONDS_MIN..=SECONDS_MAX).contains(&moment.seconds).then_some(moment)
    }

    /// Whole seconds, rounded down; times before 1970 are 0.
    pub(crate) fn seconds_floor(self) -> u64 {
        u64::try_from(self.seconds).unwrap_or(0)
    }

    /// Whole seconds, rounded up; times before 1970 are 0.
    pub(crate) fn seconds_ceil(self) -> u64 {
        let up = i64::from(self.fraction > 0 || self.inexact);
        u64::try_from(self.seconds + up).unwrap_or(0)
    }

    /// Whether this moment is later than the whole second `seconds`.
    pub(crate) fn is_after(self, seconds: i128) -> bool {
        let whole = i128::from(self.seconds);
        whole > seconds || (whole == seconds && (self.fraction > 0 || self.inexact))
    }

    /// Whether this moment is earlier than the whole second `seconds`.
    pub(crate) fn is_before(self, seconds: i128) -> bool {
        i128::from(self.seconds) < seconds
    }

    /// Whether more than `seconds` lie between `earlier` and this moment; where digits beyond the
    /// kept ones would decide, the answer is yes.
    pub(crate) fn is_more_than_after(self, seconds: u64, earlier: Moment) -> bool {
        let whole = i128::from(self.seconds) - i128::from(earlier.seconds);
        match whole.cmp(&i128::from(seconds)) {
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Equal => {
                self.fraction > earlier.fraction || (self.fraction == earlier.fraction && self.inexact)
            }
        }
    }

    fn negated(self) -> Moment {
        if self.fraction == 0 && !self.inexact {
            return Moment { seconds: -self.seconds, ..self };
        }
        let fraction = FRACTION_UNITS - self.fraction - u64::from(self.inexact);
        Moment { seconds: -self.seconds - 1, fraction, inexact: self.inexact }
    }
}

/// The value of `int [. frac] [e exp]`.
fn magnitude(number: &str) -> Option<Moment> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || integer.bytes().chain(fraction.bytes()).map(|digit| digit - b'0');
    let zeros = digits().take_while(|&digit| digit == 0).count();
    if zeros == integer.len() + fraction.len() {
        return Some(Moment { seconds: 0, fraction: 0, inexact: false });
    }
    // The value is 0.d₁d₂d₃… times ten to the power of `point`, d₁ the first digit that is not zero.
    let point = exponent_saturated(exponent)
        .saturating_add(i64::try_from(integer.len()).ok()?)
        .saturating_sub(i64::try_from(zeros).ok()?);
    const POINT_MAX: i64 = 12; // 253402300799 has twelve digits
    if point > POINT_MAX {
        return None;
    }
    let mut moment = Moment { seconds: 0, fraction: 0, inexact: false };
    let mut unit = FRACTION_UNITS;
    let mut place = point;
    if place < 0 {
        let shift = u32::try_from(place.unsigned_abs()).unwrap_or(u32::MAX);
        unit = 10_u64.checked_pow(shift).map_or(0, |power| FRACTION_UNITS / power);
    }
    for digit in digits().skip(zeros) {
        if place > 0 {
            moment.seconds = moment.seconds * 10 + i64::from(digit);
        } else {
            unit /= 10;
            moment.fraction += unit * u64::from(digit);
            moment.inexact |= unit == 0 && digit != 0;
        }
        place -= 1;
    }
    // Fewer digits than places before the point: the rest are zeros.
    while place > 0 {
        moment.seconds *= 10;
        place -= 1;
    }
    Some(moment)
}

fn exponent_saturated(exponent: &str) -> i64 {
    let (negative, digits) = match exponent.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let value = digits
        .iter()
        .fold(0_i64, |value, digit| value.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if negative { -value } else { value }
}
