//! Multiples of points on an elliptic curve, from tables that are computed once.
//!
//! Verifying an ECDSA signature computes `a * G + b * Q` for the curve's generator `G` and
//! the key `Q`. Neither changes from one token to the next, so tables of both are kept: of
//! the point, and of its multiples by powers of two, each for one part of the factor.
//! Computing all parts side by side takes an eighth of the doublings, and a verification a
//! third of the time. Points and factors are public, so the time may depend on them.

use std::cell::OnceCell;

use ecdsa::elliptic_curve::array::ArraySize;
use ecdsa::elliptic_curve::array::typenum::U6;
use ecdsa::elliptic_curve::group::Curve as _;
use ecdsa::elliptic_curve::ops::{Invert as _, Reduce};
use ecdsa::elliptic_curve::point::AffineCoordinates as _;
use ecdsa::elliptic_curve::{
    CurveArithmetic, FieldBytes, Group, PrimeField, ProjectivePoint, Scalar,
};
use ecdsa::{EcdsaCurve, Signature, SignatureSize};
use wnaf::{WnafBase, WnafScalar, WnafSize};

/// How many parts a factor is split into.
const PARTS: usize = 8;

/// Bits of the window: each table has 16 multiples of its point.
type Window = U6;

/// Tables for one point.
pub(super) struct Multiples<C: CurveArithmetic> {
    /// The point times 1, 2^w, 2^2w and so on; w is the width of a part in bits.
    bases: Vec<WnafBase<ProjectivePoint<C>, Window>>,
}

/// A curve that keeps the tables of its generator.
pub(super) trait Curve: EcdsaCurve + CurveArithmetic<Scalar: WnafSize> {
    /// Passes the tables of the generator to `compute`.
    fn with_generator<T>(compute: impl FnOnce(&Multiples<Self>) -> T) -> T;
}

macro_rules! curves {
    ($($curve:ty),*) => {
        $(impl Curve for $curve {
            fn with_generator<T>(compute: impl FnOnce(&Multiples<Self>) -> T) -> T {
                thread_local! {
                    static GENERATOR: OnceCell<Multiples<$curve>> = const { OnceCell::new() };
                }
                GENERATOR.with(|tables| {
                    compute(tables.get_or_init(|| Multiples::of(Group::generator())))
                })
            }
        })*
    };
}

curves!(p256::NistP256, p384::NistP384, p521::NistP521, k256::Secp256k1);

/// The bytes of one part of a factor.
fn width<C: CurveArithmetic>() -> usize {
    FieldBytes::<C>::default().len().div_ceil(PARTS)
}

impl<C: Curve> Multiples<C> {
    pub(super) fn of(mut point: ProjectivePoint<C>) -> Self {
        let doublings = width::<C>().saturating_mul(8);
        let mut bases = Vec::with_capacity(PARTS);
        for _ in 0..PARTS {
            bases.push(WnafBase::new(&point));
            point = (0..doublings).fold(point, |point, _| point.double());
        }
        Self { bases }
    }

    /// Whether `signature` is one of this key over a message with this `hash` (FIPS 186-5
    /// section 6.4.2).
    #[allow(clippy::arithmetic_side_effects)] // modulo the curve's order, nothing overflows
    pub(super) fn verify(&self, hash: &[u8], signature: &Signature<C>) -> bool
    where
        SignatureSize<C>: ArraySize,
    {
        let (r, s) = signature.split_scalars();
        let inverse = *s.invert_vartime();
        let (a, b) = (reduced::<C>(hash) * inverse, *r * inverse);
        let point = C::with_generator(|generator| sum([(generator, a), (self, b)]));
        *r == reduced::<C>(&point.to_affine().x())
    }
}

/// The sum of the products of points with scalars.
fn sum<C: Curve>(products: [(&Multiples<C>, Scalar<C>); 2]) -> ProjectivePoint<C> {
    let factors = products.each_ref().map(|(_, scalar)| parts::<C>(scalar));
    let bases = products.iter().flat_map(|(multiples, _)| &multiples.bases);
    WnafBase::multiscalar_mul(bases.zip(factors.iter().flatten()))
}

/// The parts of a scalar, the lowest first; the digits of each as its table expects them.
fn parts<C: Curve>(scalar: &Scalar<C>) -> Vec<WnafScalar<Scalar<C>, Window>> {
    let mut bytes = scalar.to_repr();
    bytes.reverse();
    bytes.chunks(width::<C>()).map(WnafScalar::from_le_bytes).collect()
}

/// A number of at most as many bytes as the curve's order has, modulo that.
fn reduced<C: CurveArithmetic>(number: &[u8]) -> Scalar<C> {
    let mut bytes = FieldBytes::<C>::default();
    for (to, from) in bytes.iter_mut().rev().zip(number.iter().rev()) {
        *to = *from;
    }
    Scalar::<C>::reduce(&bytes)
}

// Clippy sees only in functions of tests that they are tests.
#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]
mod tests {
    use ecdsa::elliptic_curve::Field;
    use ecdsa::hazmat::verify_prehashed;

    use super::*;

    /// Runs a test for each curve.
    macro_rules! each_curve {
        ($name:ident) => {
            #[test]
            fn $name() {
                cases::$name::<p256::NistP256>();
                cases::$name::<p384::NistP384>();
                cases::$name::<p521::NistP521>();
                cases::$name::<k256::Secp256k1>();
            }
        };
    }

    each_curve!(sums_are_those_of_the_curve);
    each_curve!(signatures_are_judged_as_by_the_crate);

    /// Scalars at the edges of a part, of a window and of the order, and some without
    /// pattern.
    fn scalars<C: Curve>() -> Vec<Scalar<C>> {
        let one = Scalar::<C>::ONE;
        let two = one.double();
        let power = |bits: u64| two.pow_vartime([bits]);
        let bits = width::<C>() as u64 * 8;
        let ends = (1..PARTS as u64).map(|part| power(part * bits));
        let ends: Vec<_> = ends.flat_map(|end| [end - one, end, end + one]).collect();
        let small = (1..20).map(Scalar::<C>::from);
        let pattern = (1..10_u64).map(|n| power(n * 37) * power(n * n) + power(n * 5) - one);
        let up: Vec<_> = small.chain(ends).chain(pattern).chain([power(5), power(6)]).collect();
        let both = up.iter().flat_map(|scalar| [*scalar, -*scalar]);
        both.chain([Scalar::<C>::ZERO]).collect()
    }

    mod cases {
        use super::*;

        pub(super) fn sums_are_those_of_the_curve<C: Curve>() {
            let generator = ProjectivePoint::<C>::generator();
            let scalars = scalars::<C>();
            // The generator itself and its opposite meet it in doublings and at infinity.
            let keys = [generator, -generator, generator * scalars[60], generator.double()];
            for key in keys {
                let tables = Multiples::<C>::of(key);
                assert_eq!(tables.bases.len(), PARTS);
                let others = scalars.iter().rev().chain(&scalars);
                for (a, b) in scalars.iter().cycle().zip(others).step_by(2) {
                    assert_eq!(parts::<C>(a).len(), PARTS);
                    let sum = C::with_generator(|generator| sum([(generator, *a), (&tables, *b)]));
                    assert_eq!(sum, generator * *a + key * *b, "{a:?} {b:?}");
                }
            }
        }

        pub(super) fn signatures_are_judged_as_by_the_crate<C: Curve>()
        where
            SignatureSize<C>: ArraySize,
        {
            let scalars = scalars::<C>();
            let generator = ProjectivePoint::<C>::generator();
            let (mut accepted, mut refused) = (0, 0);
            for (n, secret) in scalars.iter().enumerate().skip(1).step_by(9) {
                let key = generator * *secret;
                let tables = Multiples::<C>::of(key);
                for hash in [Scalar::<C>::ZERO, scalars[n], scalars[n] * secret] {
                    // Made of the equation, with any nonce: also with a high S.
                    let nonce = scalars[n * 5 % (scalars.len() - 1)];
                    let r = reduced::<C>(&(generator * nonce).to_affine().x());
                    let s = ecdsa::elliptic_curve::ops::Invert::invert(&nonce).unwrap()
                        * (hash + r * secret);
                    let hash = hash.to_repr();
                    let other = (scalars[n], *secret);
                    for (r, s) in [(r, s), (r, -s), (-r, s), (s, r), other, (r, r)] {
                        let Ok(signature) = Signature::<C>::from_scalars(r, s) else { continue };
                        // The crate refuses a high S where Bitcoin does; here it counts.
                        let low = if C::NORMALIZE_S { signature.normalize_s() } else { signature };
                        let expected = verify_prehashed::<C>(&key, &hash, &low).is_ok();
                        assert_eq!(tables.verify(&hash, &signature), expected);
                        *(if expected { &mut accepted } else { &mut refused }) += 1;
                    }
                }
            }
            assert!(accepted > 50 && refused > 100, "{accepted} {refused}");
        }
    }
}
