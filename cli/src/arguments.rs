//! The command's arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const ENDINGS: &str = "\
Exit status:
  0  valid, forwarded, done
  1  not valid, denied
  2  it could not be done: bad arguments, a file that cannot be read
  3  done in part: a service's reply is missing, or something could not be carried over

A FILE of - is standard input.";

/// Checks configurations of Gatepass, explains what becomes of a request, and
/// makes keys and tokens, with the code of the filter itself.
#[derive(Debug, Parser)]
#[command(name = "gatepass", version, after_help = ENDINGS, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// One thing to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check configurations
    ///
    /// Prints every problem with its file, line and place, and warnings worth a thought.
    /// Takes Gatepass's own configuration in YAML or JSON, and finds it in an
    /// envoy.yaml, a kong.yml, and manifests of Istio, Envoy Gateway and Kong, also in
    /// ConfigMaps; and looks at what is around it: whether requests can come past the
    /// filter, and whether what it calls is there.
    #[command(after_help = ENDINGS)]
    Check(Check),
    /// Explain what becomes of a request
    ///
    /// Decides on a request as the filter does, and says which rule matched, how far
    /// the request came, what services would be asked, and what the upstream would
    /// get. Nothing is sent: the services' replies are given as options, and where one
    /// is missing it stops and says what would be asked. A REPLY is a file with the body
    /// of a 200, or another status such as 404, or `failed` for none at all.
    #[command(after_help = ENDINGS)]
    Explain(Explain),
    /// Verify a public token as the gateway does, or an identity token as a service does
    ///
    /// With -c, the token is one that the public sends: verified as by the filter with
    /// this configuration, without consumers, rules and user info. With --identity, or
    /// with --jwks alone, it is an identity token: verified as a service behind the
    /// gateway should.
    #[command(after_help = ENDINGS)]
    Verify(Verify),
    /// Make a public token, for tests
    ///
    /// Signs a token such as a client of the gateway would send. With -c it gets the
    /// claims that the configuration asks for.
    Mint(Mint),
    /// Make a key
    ///
    /// Prints a new private key for identity_token.signing_keys, or a secret for HS*.
    Keygen(Keygen),
    /// Print public keys
    ///
    /// With -c, the key set that the gateway publishes; with --key, that of one private
    /// key, such as an issuer of test tokens would publish.
    Jwks(Jwks),
    /// Print the JSON Schema of the configuration (2020-12)
    Schema,
    /// Convert the configuration of another gateway
    ///
    /// Takes a kong.yml (formats 1.1, 2.1 and 3.0), Kong's manifests, Envoy's filter
    /// jwt_authn, Istio's RequestAuthentication with AuthorizationPolicy, and Envoy
    /// Gateway's SecurityPolicy. Prints a configuration of Gatepass that accepts the same
    /// tokens, or fewer, with the secrets of the file; and on standard error, and beside
    /// what it is about, what is different.
    #[command(after_help = ENDINGS)]
    Convert(Convert),
    /// Print a script that completes arguments in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    Man {
        /// Write a page for each command into this directory instead
        #[arg(long, value_name = "DIR")]
        directory: Option<PathBuf>,
    },
}

/// The configuration to use.
#[derive(Args, Debug)]
pub struct Source {
    /// The configuration, or a file it is in
    #[arg(short, long = "config", value_name = "FILE")]
    pub config: String,
    #[command(flatten)]
    pub reading: Reading,
}

/// How a configuration is read.
#[derive(Args, Debug, Default)]
pub struct Reading {
    /// Which of several configurations in the file, by its path
    #[arg(long, value_name = "PATH")]
    pub at_path: Option<String>,
    /// Do without the environment: every {env: NAME} gets a made-up value
    #[arg(long)]
    pub no_env: bool,
    /// The host that it is for [default: kong for a kong.yml, else envoy]
    #[arg(long)]
    pub host: Option<HostKind>,
}

/// A host of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostKind {
    /// Envoy, Istio, Envoy Gateway
    Envoy,
    /// Kong
    Kong,
}

#[derive(Args, Debug)]
pub struct Check {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// Take warnings for problems
    #[arg(long)]
    pub strict: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// When to print in colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to print in colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Args, Debug)]
pub struct Explain {
    #[command(flatten)]
    pub source: Source,
    /// The method
    #[arg(short = 'X', long, default_value = "GET")]
    pub method: String,
    /// Path and query
    #[arg(long, default_value = "/")]
    pub path: String,
    /// The host of the URL
    #[arg(long, default_value = "localhost")]
    pub authority: String,
    /// A header field, `Name: value`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub headers: Vec<String>,
    /// A file with a token, sent as bearer token
    #[arg(long, value_name = "FILE")]
    pub token: Option<String>,
    #[command(flatten)]
    pub replies: Replies,
    /// When the request comes: RFC 3339, or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Print tokens in full
    #[arg(long)]
    pub show_tokens: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The replies of services.
#[derive(Args, Debug, Default)]
pub struct Replies {
    /// The issuer's key set; PROVIDER=REPLY for one provider of several
    #[arg(long, value_name = "REPLY")]
    pub jwks: Vec<String>,
    /// The issuer's discovery document [default: one that leads to the keys]
    #[arg(long, value_name = "REPLY")]
    pub discovery: Option<String>,
    /// What the user service says of the user
    #[arg(long, value_name = "REPLY")]
    pub user_info: Option<String>,
    /// What the issuer says of a reference token
    #[arg(long, value_name = "REPLY")]
    pub introspection: Option<String>,
    /// The feed of revoked tokens [default: nothing is revoked]
    #[arg(long, value_name = "REPLY")]
    pub revocation_feed: Option<String>,
    /// The feed of the allowlist
    #[arg(long, value_name = "REPLY")]
    pub allowlist: Option<String>,
}

#[derive(Args, Debug)]
pub struct Verify {
    /// The token; @FILE reads it from a file, - from standard input
    #[arg(value_name = "TOKEN")]
    pub token: String,
    /// The configuration, or a file it is in
    #[arg(short, long = "config", value_name = "FILE", required_unless_present = "jwks")]
    pub config: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// It is an identity token
    #[arg(long)]
    pub identity: bool,
    /// Public token: the issuer's key set, as for explain. Identity token: the
    /// gateway's, a file
    #[arg(long, value_name = "REPLY")]
    pub jwks: Vec<String>,
    /// What the issuer says of a reference token, as for explain
    #[arg(long, value_name = "REPLY")]
    pub introspection: Option<String>,
    /// Identity token: the issuer to expect [default: the configuration's]
    #[arg(long)]
    pub issuer: Option<String>,
    /// Identity token: the audience to expect [default: one of the configuration's]
    #[arg(long)]
    pub audience: Option<String>,
    /// When it is verified: RFC 3339, or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Mint {
    /// A file with the private key: JWK or PKCS#8 PEM [default: a secret in the
    /// provider's local_jwks]
    #[arg(short, long, value_name = "FILE", required_unless_present = "config")]
    pub key: Option<String>,
    /// The configuration that is to accept the token
    #[arg(short, long = "config", value_name = "FILE")]
    pub config: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// The provider of the configuration [default: the only one]
    #[arg(long, value_name = "NAME", requires = "config")]
    pub provider: Option<String>,
    /// `sub`
    #[arg(long, default_value = "alice")]
    pub sub: String,
    /// A claim, NAME=VALUE; VALUE is JSON, else text. NAME= takes the claim away.
    /// May be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    pub claims: Vec<String>,
    /// `exp` - `iat` [default: 300]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    pub lifetime: Option<u32>,
    /// `kid` [default: the key's own, else its thumbprint]
    #[arg(long)]
    pub kid: Option<String>,
    /// `typ` [default: at+jwt, or what the provider accepts]
    #[arg(long)]
    pub typ: Option<String>,
    /// `iat`: RFC 3339, or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

#[derive(Args, Debug)]
pub struct Convert {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: String,
    /// Which of several in the file, by its name; may be repeated
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// What to write
    #[arg(long, value_enum, default_value_t = ConvertTo::Configuration)]
    pub to: ConvertTo,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConvertTo {
    /// The configuration alone
    Configuration,
    /// A declarative configuration of Kong with the plugin for all routes
    KongPlugin,
}

#[derive(Args, Debug)]
pub struct Keygen {
    /// What the key is for
    #[arg(short, long, value_enum, default_value_t = KeyAlgorithm::Es256, ignore_case = true)]
    pub algorithm: KeyAlgorithm,
    /// How it is written; secrets are always JWK
    #[arg(short, long, value_enum, default_value_t = KeyFormat::Jwk)]
    pub format: KeyFormat,
    /// `kid` of the JWK [default: its thumbprint; none for a secret]
    #[arg(long)]
    pub kid: Option<String>,
}

/// The algorithms that a key can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyAlgorithm {
    /// P-256
    #[value(name = "ES256")]
    Es256,
    /// Ed25519
    #[value(name = "EdDSA")]
    EdDsa,
    /// RSA, 2048 bits
    #[value(name = "RS256")]
    Rs256,
    /// A secret of 32 bytes
    #[value(name = "HS256")]
    Hs256,
    /// A secret of 48 bytes
    #[value(name = "HS384")]
    Hs384,
    /// A secret of 64 bytes
    #[value(name = "HS512")]
    Hs512,
}

/// How a private key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyFormat {
    /// JSON Web Key
    Jwk,
    /// PKCS#8
    Pem,
}

#[derive(Args, Debug)]
pub struct Jwks {
    /// The configuration, or a file it is in
    #[arg(short, long = "config", value_name = "FILE", required_unless_present = "key")]
    pub config: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// A file with a private key: JWK or PKCS#8 PEM
    #[arg(short, long, value_name = "FILE", conflicts_with = "config")]
    pub key: Option<String>,
    /// `kid` of that key [default: its own, else its thumbprint]
    #[arg(long, requires = "key")]
    pub kid: Option<String>,
    /// When: RFC 3339, or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}
