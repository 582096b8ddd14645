//! Whether 32 bytes are an Ed25519 public key worth having (RFC 8032 §5.1.3): the provider takes any 32
//! bytes, so what is not canonical, not on the curve or of small order is found here, at load.

/// The field's prime, 2^255 - 19, least significant limb first.
const P: Element = [0xffff_ffff_ffff_ffed, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff];

/// The curve's d = -121665/121666.
const D: Element =
    [0x75eb_4dca_1359_78a3, 0x0070_0a4d_4141_d8ab, 0x8cc7_4079_7779_e898, 0x5203_6cee_2b6f_fe73];

const ONE: Element = [1, 0, 0, 0];

/// The y of every point whose order divides 8; each is refused with either sign.
const SMALL_ORDER_Y: [Element; 5] = [
    [0, 0, 0, 0],
    ONE,
    [0xffff_ffff_ffff_ffec, u64::MAX, u64::MAX, 0x7fff_ffff_ffff_ffff],
    [0xb027_b2c2_8f95_e826, 0xf098_eff2_89f4_c345, 0x3933_c6d3_05ac_dfd5, 0x05fc_536d_8802_38b1],
    [0x4fd8_4d3d_706a_17c7, 0x0f67_100d_760b_3cba, 0xc6cc_392c_fa53_202a, 0x7a03_ac92_77fd_c74e],
];

type Element = [u64; 4];

/// Why 32 bytes are no Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PointFault {
    NotCanonical,
    OffCurve,
    SmallOrder,
}

/// Checks the encoding, the curve equation and the order of a point.
// token.md §4.5
pub(crate) fn check(encoded: &[u8; 32]) -> Result<(), PointFault> {
    let mut y = [0_u64; 4];
    for (limb, bytes) in y.iter_mut().zip(encoded.chunks_exact(8)) {
        *limb = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
    }
    y[3] &= u64::MAX >> 1; // the top bit is the sign of x
    if !is_below(&y, &P) {
        return Err(PointFault::NotCanonical);
    }
    // A zero x with its sign bit set would be a second spelling too; both such points are listed here.
    if SMALL_ORDER_Y.contains(&y) {
        return Err(PointFault::SmallOrder);
    }
    // x² = (y² - 1) / (d y² + 1) has a root where the product of both sides' terms is a square.
    let y2 = multiply(&y, &y);
    let numerator = subtract(&y2, &ONE);
    let denominator = add(&multiply(&D, &y2), &ONE);
    if is_square(&multiply(&numerator, &denominator)) { Ok(()) } else { Err(PointFault::OffCurve) }
}

/// Euler's criterion: a^((p-1)/2) is 1, or a is 0. The exponent, 2^254 - 10, is all ones but for bits
/// 0 and 3.
fn is_square(a: &Element) -> bool {
    let mut power = ONE;
    for bit in (0..254).rev() {
        power = multiply(&power, &power);
        if bit != 0 && bit != 3 {
            power = multiply(&power, a);
        }
    }
    power == ONE || *a == [0; 4]
}

fn is_below(a: &Element, b: &Element) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

fn add(a: &Element, b: &Element) -> Element {
    let mut sum = [0; 4];
    let mut carry = 0_u128;
    for i in 0..4 {
        carry += u128::from(a[i]) + u128::from(b[i]);
        sum[i] = carry as u64;
        carry >>= 64;
    }
    reduced(sum) // two elements below p never carry out of 256 bits
}

fn subtract(a: &Element, b: &Element) -> Element {
    add(a, &raw_difference(&P, b))
}

/// `a - b` where it is known not to be negative.
fn raw_difference(a: &Element, b: &Element) -> Element {
    let mut difference = [0; 4];
    let mut borrow = false;
    for i in 0..4 {
        let (once, borrow_once) = a[i].overflowing_sub(b[i]);
        let (twice, borrow_twice) = once.overflowing_sub(u64::from(borrow));
        difference[i] = twice;
        borrow = borrow_once || borrow_twice;
    }
    difference
}

/// `a` modulo p, for any 256 bits.
fn reduced(mut a: Element) -> Element {
    while !is_below(&a, &P) {
        a = raw_difference(&a, &P);
    }
    a
}

fn multiply(a: &Element, b: &Element) -> Element {
    let mut wide = [0_u64; 8];
    for i in 0..4 {
        let mut carry = 0_u128;
        for j in 0..4 {
            carry += u128::from(a[i]) * u128::from(b[j]) + u128::from(wide[i + j]);
            wide[i + j] = carry as u64;
            carry >>= 64;
        }
        wide[i + 4] = carry as u64;
    }
    // 2^256 is 38 modulo p: fold the upper half down, twice.
    let mut low = [0; 4];
    let mut carry = 0_u128;
    for i in 0..4 {
        carry += u128::from(wide[i]) + 38 * u128::from(wide[i + 4]);
        low[i] = carry as u64;
        carry >>= 64;
    }
    while carry > 0 {
        carry *= 38;
        for limb in &mut low {
            carry += u128::from(*limb);
            *limb = carry as u64;
            carry >>= 64;
        }
    }
    reduced(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

    #[test]
    fn every_key_that_a_generator_makes_is_taken() {
        for seed in 0..64_u8 {
            let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
            let encoded: [u8; 32] = pair.public_key().as_ref().try_into().unwrap();
            assert_eq!(check(&encoded), Ok(()), "seed {seed}");
        }
    }

    #[test]
    fn points_of_small_order_are_refused_with_either_sign() {
        for y in SMALL_ORDER_Y {
            let mut encoded = [0; 32];
            for (bytes, limb) in encoded.chunks_exact_mut(8).zip(y) {
                bytes.copy_from_slice(&limb.to_le_bytes());
            }
            assert_eq!(check(&encoded), Err(PointFault::SmallOrder));
            encoded[31] |= 0x80;
            assert_eq!(check(&encoded), Err(PointFault::SmallOrder));
        }
    }

    #[test]
    fn a_y_of_p_or_more_is_refused() {
        let mut encoded = [0xff; 32];
        encoded[0] = 0xed; // p, which is 0 again
        encoded[31] = 0x7f;
        assert_eq!(check(&encoded), Err(PointFault::NotCanonical));
        encoded[0] = 0xee; // p + 1, which is 1 again
        assert_eq!(check(&encoded), Err(PointFault::NotCanonical));
        assert_eq!(check(&[0xff; 32]), Err(PointFault::NotCanonical));
    }

    #[test]
    fn about_half_of_all_y_are_not_on_the_curve() {
        let off = (2..=201_u8).filter(|&y| {
            let mut encoded = [0; 32];
            encoded[0] = y;
            check(&encoded) == Err(PointFault::OffCurve)
        });
        assert!((60..140).contains(&off.count()));
    }
}
