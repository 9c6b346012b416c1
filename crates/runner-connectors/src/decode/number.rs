//! JSON numbers: scanned once, with everything that conversion and typing ask of them.

use super::trace::Kinds;

/// Greatest integer up to which every integer is a double.
pub(crate) const MAX_EXACT_INTEGER: u64 = 1 << 53;
/// Digits up to which every decimal text is the shortest one of its double.
const EXACT_DIGITS: u32 = 15;
/// Integers of so few digits are all exact doubles.
const SHORT_DIGITS: usize = 15;
const MAX_DECIMAL_DIGITS: u32 = 38;

const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// A number's text and its parts. The grammar is JSON's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexeme<'a> {
    pub(crate) text: &'a [u8],
    is_negative: bool,
    /// Value of the digits without sign, point and exponent; meaningless with more than 19 significant ones.
    mantissa: u64,
    /// Digits from the first that isn't zero on.
    significant: u32,
    fraction_digits: u32,
    /// As written; absent without an `e`.
    exponent: Option<i32>,
}

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberFault {
    /// The bytes end where the number could go on.
    Incomplete,
    Invalid,
}

/// Scans a number that is followed by something that can't belong to it. Its end is `at + text.len()`.
#[inline]
pub(crate) fn scan(bytes: &[u8], at: usize) -> Result<Lexeme<'_>, NumberFault> {
    let mut end = at;
    let is_negative = bytes.get(end) == Some(&b'-');
    if is_negative {
        end += 1;
    }
    let mut mantissa = 0_u64;
    let mut significant = 0_u32;
    let integer_start = end;
    end = digits(bytes, end, &mut mantissa, &mut significant);
    let integer_digits = end - integer_start;
    if integer_digits == 0 {
        return Err(fault_at(bytes, end));
    }
    if integer_digits > 1 && bytes[integer_start] == b'0' {
        return Err(NumberFault::Invalid);
    }
    let mut fraction_digits = 0;
    let mut exponent = None;
    match bytes.get(end) {
        Some(b'.') => {
            let start = end + 1;
            end = digits(bytes, start, &mut mantissa, &mut significant);
            if end == start {
                return Err(fault_at(bytes, end));
            }
            fraction_digits = u32::try_from(end - start).map_err(|_| NumberFault::Invalid)?;
        }
        Some(_) => {}
        None => return Err(NumberFault::Incomplete),
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let (value, after) = scan_exponent(bytes, end + 1)?;
        exponent = Some(value);
        end = after;
    }
    if end == bytes.len() {
        return Err(NumberFault::Incomplete);
    }
    Ok(Lexeme {
        text: &bytes[at..end],
        is_negative,
        mantissa,
        significant,
        fraction_digits,
        exponent,
    })
}

/// The integer that begins here and where it ends, if it has few digits: most numbers are such, and need nothing else of a [`Lexeme`].
/// What isn't one is scanned as usual.
#[inline]
pub(crate) fn short_integer(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let is_negative = bytes.get(at) == Some(&b'-');
    let start = at + usize::from(is_negative);
    let mut end = start;
    let mut value = 0_i64;
    while let Some(digit) = bytes.get(end).map(|byte| byte.wrapping_sub(b'0')) {
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        end += 1;
    }
    let digits = end - start;
    if digits == 0 || digits > SHORT_DIGITS {
        return None;
    }
    if bytes[start] == b'0' && (digits > 1 || is_negative) {
        return None;
    }
    match bytes.get(end) {
        None | Some(b'.' | b'e' | b'E') => None,
        Some(_) => Some((if is_negative { -value } else { value }, end)),
    }
}

/// Scans a text that is a number and nothing else.
pub(crate) fn whole(text: &[u8]) -> Option<Lexeme<'_>> {
    // What follows a number is the scanner's end mark; a text of its own has none.
    let mut marked = [0_u8; 64];
    if text.len() < marked.len() {
        marked[..text.len()].copy_from_slice(text);
        let lexeme = scan(&marked[..=text.len()], 0).ok()?;
        return (lexeme.text.len() == text.len()).then_some(Lexeme { text, ..lexeme });
    }
    let mut marked = text.to_vec();
    marked.push(0);
    let lexeme = scan(&marked, 0).ok()?;
    (lexeme.text.len() == text.len()).then_some(Lexeme { text, ..lexeme })
}

#[inline]
fn digits(bytes: &[u8], start: usize, mantissa: &mut u64, significant: &mut u32) -> usize {
    let mut end = start;
    let mut value = *mantissa;
    let mut count = *significant;
    while let Some(byte) = bytes.get(end) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        count += u32::from(count > 0 || digit > 0);
        end += 1;
    }
    *mantissa = value;
    *significant = count;
    end
}

fn scan_exponent(bytes: &[u8], start: usize) -> Result<(i32, usize), NumberFault> {
    let mut end = start;
    let is_negative = bytes.get(end) == Some(&b'-');
    if let Some(b'-' | b'+') = bytes.get(end) {
        end += 1;
    }
    let first = end;
    let mut value = 0_i32;
    while let Some(byte) = bytes.get(end).filter(|byte| byte.is_ascii_digit()) {
        value = value
            .saturating_mul(10)
            .saturating_add(i32::from(byte - b'0'));
        end += 1;
    }
    if end == first {
        return Err(fault_at(bytes, end));
    }
    // Far beyond what any double or decimal reaches; kept small so that sums can't overflow.
    let value = value.min(1_000_000);
    Ok((if is_negative { -value } else { value }, end))
}

fn fault_at(bytes: &[u8], at: usize) -> NumberFault {
    if at >= bytes.len() {
        NumberFault::Incomplete
    } else {
        NumberFault::Invalid
    }
}

impl Lexeme<'_> {
    /// Written without fraction and exponent, and not `-0`: what an integer column stores can be written as the same text again.
    #[inline]
    pub(crate) fn is_integer(&self) -> bool {
        self.fraction_digits == 0
            && self.exponent.is_none()
            && !(self.is_negative && self.significant == 0)
    }

    /// The value, if the text is that of an integer of 64 bits.
    #[inline]
    pub(crate) fn integer(&self) -> Option<i64> {
        if !self.is_integer() {
            return None;
        }
        if self.significant > 18 {
            return std::str::from_utf8(self.text).ok()?.parse().ok();
        }
        let magnitude = i64::try_from(self.mantissa).ok()?;
        Some(if self.is_negative {
            -magnitude
        } else {
            magnitude
        })
    }

    /// The value, if it is an integer of 64 bits, however it is written (`2.0`, `1e3`).
    pub(crate) fn integral(&self) -> Option<i64> {
        if let Some(value) = self.integer() {
            return Some(value);
        }
        i64::try_from(self.decimal(0)?).ok()
    }

    /// The nearest double; none where that is infinite.
    #[inline]
    pub(crate) fn double(&self) -> Option<f64> {
        let scale = i64::from(self.exponent.unwrap_or(0)) - i64::from(self.fraction_digits);
        if self.significant <= 19 && self.mantissa <= MAX_EXACT_INTEGER {
            // Both operands are exact doubles, so that the one rounding of the operation is the right one.
            #[expect(clippy::cast_precision_loss, reason = "at most 2^53")]
            let mantissa = self.mantissa as f64;
            let power = usize::try_from(scale.unsigned_abs()).unwrap_or(usize::MAX);
            if let Some(power) = POWERS_OF_TEN.get(power) {
                let value = if scale < 0 {
                    mantissa / power
                } else {
                    mantissa * power
                };
                return Some(if self.is_negative { -value } else { value });
            }
        }
        let value: f64 = std::str::from_utf8(self.text).ok()?.parse().ok()?;
        value.is_finite().then_some(value)
    }

    /// The double, where an integer is one exactly. Fractions are rounded to the nearest, as numbers in JSON always are.
    #[inline]
    pub(crate) fn exact_double(&self) -> Option<f64> {
        let value = self.double()?;
        let is_exact = self.significant <= 19 && self.mantissa <= MAX_EXACT_INTEGER;
        if self.is_integer() && !is_exact {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "compared with the text below"
            )]
            let back = value as i128;
            let text: i128 = std::str::from_utf8(self.text).ok()?.parse().ok()?;
            return (back == text).then_some(value);
        }
        Some(value)
    }

    /// The unscaled value at a scale, where nothing is lost and 38 digits hold it.
    pub(crate) fn decimal(&self, scale: i8) -> Option<i128> {
        if self.significant == 0 {
            return Some(0);
        }
        let mut unscaled = 0_i128;
        let mut zeros = 0_u32;
        for byte in self
            .text
            .iter()
            .take_while(|byte| !matches!(byte, b'e' | b'E'))
        {
            match byte {
                b'0' => zeros += 1,
                b'1'..=b'9' => {
                    unscaled = shift(unscaled, zeros + 1)?.checked_add(i128::from(byte - b'0'))?;
                    zeros = 0;
                }
                _ => {}
            }
        }
        // Zeros at the end are held back, so that they neither overflow nor count as lost digits.
        let power = i64::from(self.exponent.unwrap_or(0)) - i64::from(self.fraction_digits)
            + i64::from(zeros)
            + i64::from(scale);
        let power = u32::try_from(power).ok()?;
        let unscaled = shift(unscaled, power)?;
        (unscaled < 10_i128.pow(MAX_DECIMAL_DIGITS)).then_some(if self.is_negative {
            -unscaled
        } else {
            unscaled
        })
    }

    /// Whether what `number` stores can be written as the same text again.
    #[inline]
    pub(crate) fn is_shortest(&self) -> bool {
        if self.exponent.is_some() {
            return false;
        }
        if self.fraction_digits > 0 && self.text.last() == Some(&b'0') {
            return false;
        }
        if self.significant <= EXACT_DIGITS && self.fraction_digits < 300 {
            return true;
        }
        self.double()
            .is_some_and(|value| value.to_string().as_bytes() == self.text)
    }

    /// What an open column learns of it.
    pub(crate) fn kinds(&self) -> Kinds {
        let mut kinds = Kinds::NUMBER;
        if self.is_integer() {
            match self.integer() {
                Some(value) if value.unsigned_abs() <= MAX_EXACT_INTEGER => {}
                Some(_) => kinds.insert(Kinds::BIG),
                None if self.significant <= MAX_DECIMAL_DIGITS => {
                    kinds.insert(Kinds::BIG.with(Kinds::WIDE));
                }
                None => kinds.insert(Kinds::BIG.with(Kinds::WIDE).with(Kinds::UNBOUNDED)),
            }
            return kinds;
        }
        kinds.insert(Kinds::FRACTION);
        if self.double().is_none() {
            kinds.insert(Kinds::UNBOUNDED);
        }
        if !self.is_shortest() {
            kinds.insert(Kinds::IRREGULAR);
        }
        kinds
    }
}

fn shift(value: i128, power: u32) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    10_i128
        .checked_pow(power)
        .and_then(|factor| value.checked_mul(factor))
}
