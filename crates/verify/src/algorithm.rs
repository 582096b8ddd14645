//! The signature algorithms of tokens. HMAC and `none` have no name here, so nothing can ask for them.

use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, VerificationAlgorithm};

macro_rules! algorithms {
    ($($variant:ident $name:literal $source:literal => $verification:ident;)*) => {
        /// A signature algorithm, by its registered JOSE name.
        // token.md §2
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Algorithm { $(#[doc = concat!("`", $name, "`, ", $source, ".")] $variant,)* }

        impl Algorithm {
            /// Every algorithm that is known.
            pub const ALL: &[Algorithm] = &[$(Algorithm::$variant,)*];

            /// The registered name, as it stands in `alg`.
            pub const fn name(self) -> &'static str {
                match self { $(Algorithm::$variant => $name,)* }
            }

            /// The algorithm of that exact name; names are case-sensitive.
            pub fn from_name(name: &str) -> Option<Algorithm> {
                match name { $($name => Some(Algorithm::$variant),)* _ => None }
            }

            pub(crate) fn verification(self) -> &'static dyn VerificationAlgorithm {
                match self { $(Algorithm::$variant => &signature::$verification,)* }
            }
        }
    };
}

algorithms! {
    Es256 "ES256" "RFC 7518 §3.4" => ECDSA_P256_SHA256_FIXED;
    Es384 "ES384" "RFC 7518 §3.4" => ECDSA_P384_SHA384_FIXED;
    Es512 "ES512" "RFC 7518 §3.4" => ECDSA_P521_SHA512_FIXED;
    EdDsa "EdDSA" "RFC 8037 §3.1, with Ed25519 only" => ED25519;
    Ed25519 "Ed25519" "RFC 9864 §2.2" => ED25519;
    Rs256 "RS256" "RFC 7518 §3.3" => RSA_PKCS1_2048_8192_SHA256;
    Rs384 "RS384" "RFC 7518 §3.3" => RSA_PKCS1_2048_8192_SHA384;
    Rs512 "RS512" "RFC 7518 §3.3" => RSA_PKCS1_2048_8192_SHA512;
    Ps256 "PS256" "RFC 7518 §3.5" => RSA_PSS_2048_8192_SHA256;
    Ps384 "PS384" "RFC 7518 §3.5" => RSA_PSS_2048_8192_SHA384;
    Ps512 "PS512" "RFC 7518 §3.5" => RSA_PSS_2048_8192_SHA512;
    MlDsa44 "ML-DSA-44" "RFC 9964" => ML_DSA_44;
    MlDsa65 "ML-DSA-65" "RFC 9964" => ML_DSA_65;
    MlDsa87 "ML-DSA-87" "RFC 9964" => ML_DSA_87;
}

impl Algorithm {
    /// The hash whose output is what ECDSA signs (RFC 7518 §3.4). The provider checks a hash with less ado
    /// than a message; of the other algorithms it wants the message.
    pub(crate) fn ecdsa_hash(self) -> Option<&'static digest::Algorithm> {
        match self {
            Algorithm::Es256 => Some(&digest::SHA256),
            Algorithm::Es384 => Some(&digest::SHA384),
            Algorithm::Es512 => Some(&digest::SHA512),
            _ => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
