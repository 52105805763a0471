//! Signatures that a host must judge rightly before it is trusted.
//!
//! Keys and signatures were made by OpenSSL 3; the private halves were thrown
//! away:
//!
//! ```sh
//! openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048   # or EC, P-256 to P-521
//! openssl pkey -pubout -outform DER
//! printf gatepass | openssl dgst -sha256 -sign key.pem           # or sha384, sha512
//! ```

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::Algorithm;
use super::host::{Hash, HostCrypto};

/// A signature of `gatepass` that is good.
pub(super) struct KnownAnswer {
    pub(super) algorithm: Algorithm,
    key: &'static str,
    signature: &'static str,
}

const MESSAGE: &[u8] = b"gatepass";

impl KnownAnswer {
    /// Whether a host takes the good signature, and neither a changed one nor
    /// the good one for another message.
    pub(super) fn is_given_by(&self, host: &dyn HostCrypto) -> bool {
        let decode = |text: &str| BASE64_STANDARD.decode(text).unwrap_or_default();
        let (key, good) = (decode(self.key), decode(self.signature));
        let mut bad = good.clone();
        if let Some(last) = bad.last_mut() {
            *last ^= 1;
        }
        let Some(hash) = Hash::on_host(self.algorithm) else { return false };
        host.verify(hash, &key, &good, MESSAGE) == Some(true)
            && host.verify(hash, &key, &bad, MESSAGE) == Some(false)
            && host.verify(hash, &key, &good, b"gatepasS") == Some(false)
    }
}

/// One for each algorithm that a host may verify.
pub(super) const KNOWN_ANSWERS: [KnownAnswer; 6] = [
    KnownAnswer { algorithm: Algorithm::Rs256, key: RSA_KEY, signature: RS256 },
    KnownAnswer { algorithm: Algorithm::Rs384, key: RSA_KEY, signature: RS384 },
    KnownAnswer { algorithm: Algorithm::Rs512, key: RSA_KEY, signature: RS512 },
    KnownAnswer { algorithm: Algorithm::Es256, key: P256_KEY, signature: ES256 },
    KnownAnswer { algorithm: Algorithm::Es384, key: P384_KEY, signature: ES384 },
    KnownAnswer { algorithm: Algorithm::Es512, key: P521_KEY, signature: ES512 },
];

const RSA_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAk2rLsxJ6zSfz8t/CNCC3J3Wo39uF1PoX2S4HRMnXLZ1S\
    2I88UAlbayX4PYFI+urwV4ca4d30P7s221dZGlLdcjdnMX9tsEj763WUFKWR567mWrfDMF32dzW4V7JyGC3kmfYt\
    QOD54kfEWEtcX+cWgQ6QCEIZZh8cLFvV8Pnfy6y/tJSTMQ6stTny7Wv/LIZlZ4sD//WaJQrGmAquW7uCVgmHOuO7\
    Eym+ZDWV/qywbVWFuk9EDZwVg+8rgQUpuFUqeah/BExCAMIjLvCTNZfzZlUPojwF+OnqgsGs7kZIkKr0qM6Nt4Q3\
    IFNlBr9XvrS2anV/neqMDdVdkq+2W+InAQIDAQAB";
const P256_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEiG0T1nMHoGQP+Fg32Go1Wovj4Ma8R/z8iP62zw8DlOmDzeVofyI1\
    5k2qsdbSzJHVxgdSIRv1D7SPlfIQ5I53qA==";
const P384_KEY: &str = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEYDIzgvkdxK+05D7LO6BBLeaKHHl/Z93xGV+3pDeFtrWuDkYBOXfFojRN\
    kdw5n7v5wLlxLH24tn9cEnDhq/V/wxbklEhSuDOzL5J3IYLQ/jmbv/Vu2iAS4oU3gV7IzHCw";
const P521_KEY: &str = "MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBKS+nUqbOWyLfYSdkfvuvPtwPwVOBSmgTOZOdmd6qdVzgg2Ul2k5h\
    jBzAz29ZE7ODxlAuB5uya+zBJy1H4uFa6/sBPydVEtlhPUwrUrsQgtOVyuzUUBjtdznZKpBIdmy1broj+pA9rodB\
    sRFVHckFgxgXDESJpJAVGX0hejnchFl21gY=";
const RS256: &str = "XXNrvJJ+9JXlP+GNDSlpLY5cO2RM9raZ4Ycx6Q2ZQslHr39PJTEXQj3zkC/jaqBxJAaHslqwTq+O6m3vOYmCJtRa\
    L9IJm0L6ZPf0gUOzK6T/kzX6bCfH5GNL6owM1OoVFrGBNg76qu6lf06g73bwdUTFZLlBc3tV1NGhmG5AgDew4aj2\
    CrDxhegtJDX/j8pqqZaHPwGwGgVVXIo/XkD7Fy4kd6wwIosISXIHCcCYVqrJBvgVEv+QQ6FL2fQz4/pXFSGAyt3Z\
    zk5bLepSjSMh6xKWDNfipkIpW0nJxVeV25hNS0+H79drsl/XObMRX2GMtYc8I6w258xCErVZRXx9sA==";
const RS384: &str = "OkZ86idjh96gb7yduWKJICe69eS6AuzJJFgrJyRtPe8T1VevW1y+4+WnC4/sW5awY9DceCudcBA2gxJKW4odwlgo\
    gxSc11AaUBkyCma4X+HYWgY1Zv0TvxqWVUgsgX8NGmzSwGRjD+68mxdnNuYlU7smvsZ5yNPiJ7SfllyuMdaQY7mS\
    C01f/nIOWoC1Iznbzab9hdCs24mCUpbxdoBUTPtksgm/RDtyYjGyI0lu6RFllJFZ9AutuuvXKC1d67W/8JriIBKu\
    JiElPHPIF0bG2LvdA6+HImyfpFpWJ1p8R4pMAR72YywfQXWphP1ivjhb0VwYIJaYR5X/OnROhzCr0Q==";
const RS512: &str = "CqMYBREG4onJWnoSKuaxnIkscHjvyIeun40eq3FNSb9tTQbHVEcUxEYrK4Ncqjp9z/vJDAT/y0QzT1WjeCet1UiI\
    GXhQ3HyLzwWmPVjhfBQv4w5/zIRA12xPb0srlROjqSJ3dR6CDnpbv5mMkat5L2J9fr+ZelLpb01Y2U7/kftZ3YCi\
    aQnZJy+01Lbvo1XW3K+X4oCUE67CIPbiTzfRe6gaB1fw4inIjsyvD8EXYUwjwjrBrNhEwc2/am0b1rNHsL2wsFIT\
    8rMQTg3JPx+nWQtZ0ATui/gfXsDtr1ywgfeBbUKfHZGnxZfrARwsNawDn/3C/3AVJLFtyMcz6hTHnA==";
const ES256: &str = "MEUCIE7hU/fa7tCG3rnox1UXbDOZ+zXJ4PbFdYjRqNmTMyEyAiEA3UlJvDhI562WSNVdjQQUOhMqynmL+BabC23S\
    IFZ2vR8=";
const ES384: &str = "MGUCMQDLPlTu/JzvWu20+HwMRQPmhmob9nsN/GuFxNARThDUPszmPhTo963a0E1EWlTdV3ICMGWDU8tGhbydFF+W\
    K4CWaWmpZbpTDRaD5PJdr5gwk0pD5Kv7JdSJBgH39HKU5TE2yQ==";
const ES512: &str = "MIGHAkEvT4jKsAsfOb6hXrnYLjlY0k4+X4IZcnfl83alj7kalwkOtnfXtJatEONasam8RncoR3wAvoJ/4PyHBZln\
    okISNgJCAbgnCzaVLOq+A4kon1CTTH8ycw+cAFzxxWOQcDPAKTnQezQ0fyUhgXnRf5Yb2+Q8xHtmSzHzAqjj/HWS\
    EYFScaGT";
