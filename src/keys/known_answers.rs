//! Signatures that a host must judge rightly before it is trusted.
//!
//! Keys and signatures were made by OpenSSL 3; the private halves were thrown
//! away:
//!
//! ```sh
//! openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048   # or EC, ED25519
//! openssl pkey -pubout -outform DER
//! printf gatepass | openssl dgst -sha256 -sign key.pem           # or sha384, sha512
//! # PSS: -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest, or 0
//! # Ed25519: openssl pkeyutl -sign -rawin; the order was added to S by hand
//! ```

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Algorithm;
use super::host::HostCrypto;

/// A signature of `gatepass` that is good.
pub(super) struct KnownAnswer {
    pub(super) algorithm: Algorithm,
    key: &'static str,
    signature: &'static str,
    /// One of the same key and message that some take, and we do not.
    refused: Option<&'static str>,
}

const MESSAGE: &[u8] = b"gatepass";

impl KnownAnswer {
    /// True if a host accepts the valid signature and rejects a changed one, the valid one
    /// for another message, and one with other parameters.
    pub(super) fn is_given_by(&self, host: &dyn HostCrypto) -> bool {
        let decode = |text: &str| BASE64_STANDARD.decode(text).unwrap_or_default();
        let good = decode(self.signature);
        let mut bad = good.clone();
        if let Some(last) = bad.last_mut() {
            *last ^= 1;
        }
        let Some(key) = host.verifying_key(self.algorithm, &decode(self.key)) else {
            return false;
        };
        key.verify(MESSAGE, &good) == Some(true)
            && key.verify(MESSAGE, &bad) == Some(false)
            && key.verify(b"gatepasS", &good) == Some(false)
            && self
                .refused
                .is_none_or(|refused| key.verify(MESSAGE, &decode(refused)) == Some(false))
    }
}

/// One for each algorithm that a host may verify.
pub(super) const KNOWN_ANSWERS: [KnownAnswer; 11] = [
    answer(Algorithm::Rs256, RSA_KEY, RS256),
    answer(Algorithm::Rs384, RSA_KEY, RS384),
    answer(Algorithm::Rs512, RSA_KEY, RS512),
    // RFC 7518 section 3.5: the salt is as long as the hash.
    KnownAnswer { refused: Some(PS256_NO_SALT), ..answer(Algorithm::Ps256, RSA_KEY, PS256) },
    KnownAnswer { refused: Some(PS384_NO_SALT), ..answer(Algorithm::Ps384, RSA_KEY, PS384) },
    KnownAnswer { refused: Some(PS512_NO_SALT), ..answer(Algorithm::Ps512, RSA_KEY, PS512) },
    answer(Algorithm::Es256, P256_KEY, ES256),
    answer(Algorithm::Es384, P384_KEY, ES384),
    answer(Algorithm::Es512, P521_KEY, ES512),
    answer(Algorithm::Es256K, SECP256K1_KEY, ES256K),
    // RFC 8032 section 5.1.7: S is below the order of the group.
    KnownAnswer {
        refused: Some(EDDSA_S_ABOVE_ORDER),
        ..answer(Algorithm::EdDsa, ED25519_KEY, EDDSA)
    },
];

const fn answer(algorithm: Algorithm, key: &'static str, signature: &'static str) -> KnownAnswer {
    KnownAnswer { algorithm, key, signature, refused: None }
}

const RSA_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApfr1p5rmZ110i1ue3y4K2rnfHh4crnIrYr1ppD2gDzeg\
    imwYq+GmCiritg3Qv6/z5AwQzJHFKm6sjna9PrSbQn/spMg6MmjvNyDzqGOrQvIEZMyUo/z5/RBZGHfzBhTEM1Pz\
    yXBtbfCZ5wi9UCgxS/Kfw33FeWRPFb09G09xY7umGtVEUgjj9ECKysQGsLp/LAHk7hCBY7Xw2Cel3FHVgoxvvq2y\
    pcM2uMad2KBFZXmfx3WtlN7kLCn5Zh5591yl27D59P9f0tRkcZmNsfK2e9+8s7Wih7ljJHrsoZkaQQS5wi4GiwJp\
    9NqNAqTJN0msNRqoTAO748snVgv8XYfwDwIDAQAB";
const P256_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEww1wEybJ6eMPWhyhr/mH1rv5uk7kKCSNutPNcGx6sQrUbMgyo0no\
    vzoonJh6ZNCBGUOhtyAgRmeb+y0sndFsaw==";
const P384_KEY: &str = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEM2JwXT8HQzP9IA11N17YmSG/Km5ic7F7AxxDoZhgrDRGFi6RcAallTGX\
    WcPaaRTSTfojnRupGr6Fhsp1UaucoJUbgDub9XQHaIWTmAjd9SEYKpSgHSWZp7zygM641QUB";
const P521_KEY: &str = "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQA8KJBOUiMhXxy6hawpXXeA06CFsEOk51TErtOroKYa2vTGLvsTjnS\
    biaJFppZG6vim3JKy5/U9Xe2KIfz62IUBKQAyMKqeEC9PSf7Hjc0soy2bN4uJFCgMey68hYYYeNKin8NDdOd0U93\
    C4KiwyL7ZIJ8e+UNLQskL+rQUhmOHXXr/qQ=";
const SECP256K1_KEY: &str = "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEhtlnzpDh/xZZuPa+9YshVmpxvTCsz55ftIiZlgdrChUL0NbIRYQmvmsT\
    FVKNbbAlr5gh7Fne+x3Dl+JzL2YBLA==";
const ED25519_KEY: &str = "MCowBQYDK2VwAyEAOQ9rj1xcb7vrNacCB/ROxJvp2indbV9X4z3rnlBeZSY=";
const RS256: &str = "R+Cb+PNlr1enmgNBdL5lfiOXAJh5lodErnBfLQPuXNk76rhRNsSKe4QU1BLzDDZPtCzILL1Q5yibF5Ba7AZPFiIc\
    kNUl9Doi1Vhfx+5uG1xOCzh9C6/zdGw/AxlEf4bSiHT5RQ9VeJuszepgLkBQim1E3T405yKi3z+pXgeOiPaU4xjc\
    rE96H+z6nX9BEnmOxZiWnqdtR1C2Pl6oFRRx8KGSLX3a/NN685PN7tUi+8E5ZqWfOVCvCuIQeUc2xowG5c5Fv14K\
    Usblt0nwW9Z0WQwyJ42rYpx34DSumwsPbLUW9DoelgwpILeGqFOK1xjSXF1B/gndYMqFdID1YfobGQ==";
const RS384: &str = "HUrhYx+wJnX/gpxbGN8/sgif/BDZbtILEvojuqfDKCSWindTYSK1Z3802nLx56lYyczZ78WP0VUgPgXYgjtAEktO\
    KADc33nfPjvBy5cHKQM996PyZerIspa5KmmmD9caPNFdAx+g3rjC1yroxrPIm6q479pIcW2idHpbjTuFUQnVU9NS\
    rsHYeEwQsUGVKLhxel+21+DPzc6rngfZhyMcoFic7ySttSY819ifDEJIAJJeUG4WHlE2VfwIE8f8MQlK4EsUhT9+\
    w6voXFmVIXeL5ZCCLZYn0cXqUWR6t3EuKxMpjQU3eGjnnRETAdCuwX87GhahIovLgq0JI6+7lpVyng==";
const RS512: &str = "EDdLraKgcCEkWw/QSaKDU1sS+M1KxV2kRsmbaVX5N07jXx8lkhxOt2sVoiABTVUuANeuzkGuTiG4QwLwmC0aZ6yU\
    q/KpiEyE2vs52BnfKclbRQa4HZ9JfRTpAUmRJyCJ2lBtXFiRf1LMJPu3neZEYUNZ7+RyG9nrEJCb6Z7RPcbqQpP8\
    HWqtIzV+BKmGbyBDEX3ooPieFLtQYcXqqXzzZ5JO6lPwHEDNrNJ44Pbao+bJKUJpzrPMCJxafol4OLwmGnFrUZIP\
    Qi3wJRiQbwaBL1Hhd4+eJiRdpwmz3RPM1aPq9YtUXqWP9yoC+lkWFoP9nqY8Uz94Y54cenQPnwlKeA==";
const PS256: &str = "ScRYFMrSEtOCfluP+hPSDnLGz5EocZEk3lEY1SmkuiHYcr4h5sBiId9WSCnzpzmHYEmVHQQW1SBgLzvmlQrMVMDX\
    hHXr10CMIfckON7WS4jiagTSNj0a2Nu3fqeb7VxaJp7xb4ZvLJ9FmexwoTjclx5FJQcoHLy/88VyrYbo+T0hJLsd\
    tImDIOWkVlNkB+2hRP/8pT8mU7QC/MqHWK1z0XDmJUjVbLfOCrRgwY07y3PySOHVHgrNPa0fD052q1OTEZboY/S7\
    1YCV8vfrpT7YFS74S0dTPGG+kxHDDc33hD+P8aN6riFQg5OVDKoWGIe7E8AQX559SY55lHvZZ0EhwQ==";
const PS384: &str = "B4euxFyd8rMNyeD2NuLJjOK4ptlectBuiuBWcTJLfdTKRZlQnX2J4X6rJD6J2Tlvk4oGuC/Sam2hKYBIPgg9hKFR\
    Q2YK9EgwsZwt8mQlW2pS7iSVgI87OT9G0Z0zpyjM82liTkmLO02ZiOSc5SLoeztnLVW3+Zi7ZYRup8tIScP4pCbp\
    VCN0hEoFdpq9st7In4/4wbR3v1UebV+sARmGxX+tpL9/3MXGD322bHasco5PiZhmhQtTEa2JH/FalGwF1hnlvWrR\
    lRz/HnKK9sdltwgcp7fApZGGKd1xNKZl21g6WL1r6IM9DTO+ZMc6CzSI+d4Bv22SE9Jbo/R1h5YKTw==";
const PS512: &str = "KI5Wh++JMfsunvcgKri50aR4y1xzyrXYTfSJ5q0TXeIqFtm4JiSkl1c7uKMs0Co+rEqdxZk6Wk66W0Nt+VMJV5v4\
    RcjtN0aymzDcLUqUnx4Spq8HImAAzGo/VcZA2TDp9oTUWM3jlEt+0/DCfqfXHziu5FRbHL2MQfV1hj1m+zaEFzZD\
    ASlIDlxOGjcJlpmcmd+RAVzDiU/AXnQFBIEZSPk/C33+zZuvWjQhPuvMcVqcvRNtZKo2zouKXE20zjCW1PJ/n0W8\
    qmosaDEtiQvSzhM5ScrY6DuO58+x9xHgJWWogZ6JcXF6C6NVwCBxWg+GyNvh9vBKprZQQKaaSvgAvA==";
const PS256_NO_SALT: &str = "YjVpWl0RX1NEab54FzTBEbqhkhQPt/+MgtZrXPYsIQivHAa4uBMXD1F2/VBsT0Rezc9Tix5vFpZGy2wPAKEgww5/\
    gwPGXZHHJSIdPWq59JznFvLHnKa0T4ky+FJt5TsR3N0lq10Ci6eJEqWSJXVxqoEfDwEL3f6/urql+zw36nCN1ZUU\
    IgO94IQwaUCBPdvpk5k0CkHBDJ34gM5a6/qZwBhcQG5oi8n9TdhDidYWaIQmshZ51USHficpkNrhMbfk4sxpAZlw\
    ULoYzX0BZWyc2B+taSEz7U5aVKrV3tHluR36qD0mVH7wyns9fE54O1as3fIk9vfOthCVdNOs2WOR7w==";
const PS384_NO_SALT: &str = "M3HNkiL0LE5tmO9bcmp2Inq+HiGEHduwNG+BCrmzwH0x2JfvKXngR8Q+j9bODOk+7cqJ/oGGQM8Q92IypPbUkqiv\
    1wokxBcVuVvoID6/7mYkjFNJbWu1I5M3aNUV8zaTnNTbp4g+Wx8HutJH6l0ldnhgV15ud6X3mOq2C9rGkZ5XcG38\
    ILzqXnM0u3McT9GHqQo7kMOTmRGTIYPch3q1ockxXSJnBL5dIig3e5PnfdVv8BjKmQnpJgSRan/IhqYG2lSnPyZF\
    9f4oD1a8vS16Nq1miFsZzrf2uIxJMLngP50eJHkVDYHs9UXXkLQGWmH/2lLKxDV9BvswexOcMcFNjA==";
const PS512_NO_SALT: &str = "R9Gg8gD8v6+eL6nQeQljZtPh7SEFXeQ7BbTKtrSq3b3PcPFNg/Pu6wOLVFu46O8YXp1aqi8tUG3pPNxVuH6HLgqX\
    CLds/FHEHeqAkjave/YuDdnv8hUnybUfPvVo5vzphlT8rXKhhLvf2zf/bnBBiOX67ouhwv+zKA5oncUdtOfIf9UN\
    VYvDaaqURQviqg01rUNxEgddAVM2dwia2PSTOMM11Yhk7zJeAMQtbuQlOStiJRX6VTOz0f79+tZcx6V4b8CmGB6+\
    c4MzRew9SWq41mPMGQ9zrPPeh9gXU2cPhA4g7gw5z6eUoDe5bqtGokOrShf3etYVDF70saOQ+5a2Aw==";
const ES256: &str = "MEYCIQChBFyRS99keCxnYUGQQZM0/vbfm8RkolDNyWxX2ZBkfgIhAIKK7PpvjRNObbXIWibYnsfGxp70OdB0CbnZ\
    LuBD7bWk";
const ES384: &str = "MGUCMHhXmXK3g5Ph1PcmOJG46QXtmNjgJJ4EwXVwjqW+a8Fx3EF6zF+g3ra3YgcnpVlhuwIxAPbtNq/lCIaJEO/D\
    tcTsj7LQEoHT37v7wJUqeVGHfpPCMZkYQhlTp1w8B6TCifxR4A==";
const ES512: &str = "MIGHAkF+nrnQiCEyUx81kR9FLuRZL1nEN2inC6nntqXqu7G1p0/4ZrE8V1zyJwaSLddDY5Dvep9QiiqIk/e5Kz2F\
    uISP5wJCAO+OzpsS936vspWko8qg142IrlKKiuU7fmaYjOCZBro+i6rwcGI0Hz/wNUU9MVpg6aqBV40ncuMEAxR4\
    57LFxX+0";
const ES256K: &str = "MEQCICM6sCN4sDb4K0v8RPH7QIWfH1IOpfANqVY6RRU5bvPVAiBSFraAPQcPMNPMvQw2oR2Im0ZOWvxWA1i0JeoN\
    VjC1/Q==";
const EDDSA: &str =
    "mWna/gmtLpOtzq3+SzLC5rz7B+POrM/xTmPnehDcoRffoD79Qo2pvzLdhlPJAq65pwjew0vydcgCzgixZTsXBA==";
const EDDSA_S_ABOVE_ORDER: &str =
    "mWna/gmtLpOtzq3+SzLC5rz7B+POrM/xTmPnehDcoRfMdDRaXfC7Fwl6fvan/IzOpwjew0vydcgCzgixZTsXFA==";

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::keys::{AlgorithmSet, HostSigningKey, HostVerifyingKey};

    /// Decides as its list says, whatever the key is.
    struct Scripted(&'static str, fn(&[u8], &[u8]) -> Option<bool>);

    struct Key(fn(&[u8], &[u8]) -> Option<bool>);

    impl HostVerifyingKey for Key {
        fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
            (self.0)(message, signature)
        }
    }

    impl HostCrypto for Scripted {
        fn verifies(&self) -> AlgorithmSet {
            AlgorithmSet::asymmetric()
        }

        fn signs(&self) -> AlgorithmSet {
            AlgorithmSet::EMPTY
        }

        fn verifying_key(&self, _: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
            let known = BASE64_STANDARD.decode(self.0).unwrap();
            (spki == known).then(|| Rc::new(Key(self.1)) as Rc<dyn HostVerifyingKey>)
        }

        fn signing_key(&self, _: Algorithm, _: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
            None
        }
    }

    #[test]
    fn there_is_one_for_every_algorithm_with_a_public_key() {
        let all: AlgorithmSet = KNOWN_ANSWERS.iter().map(|answer| answer.algorithm).collect();
        assert_eq!(all, AlgorithmSet::asymmetric());
        assert_eq!(KNOWN_ANSWERS.len(), all.iter().count());
    }

    #[test]
    fn a_salt_of_another_length_is_not_to_be_taken() {
        let strict = Scripted(RSA_KEY, |message, signature| {
            let good = BASE64_STANDARD.decode(PS256).unwrap();
            Some(message == MESSAGE && signature == good)
        });
        let lax = Scripted(RSA_KEY, |message, signature| {
            let good = [PS256, PS256_NO_SALT].map(|it| BASE64_STANDARD.decode(it).unwrap());
            Some(message == MESSAGE && good.iter().any(|good| good == signature))
        });
        let answer = KNOWN_ANSWERS.iter().find(|it| it.algorithm == Algorithm::Ps256).unwrap();
        assert!(answer.is_given_by(&strict));
        assert!(!answer.is_given_by(&lax));
    }
}
