//! The command's arguments.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

macro_rules! endings {
    () => {
        "\
Exit status:
  0  valid, forwarded, done
  1  not valid, denied
  2  could not be done: bad arguments, a file that cannot be read
  3  done in part: a service's reply is missing, or something could not be converted

A FILE of - is standard input. The manual is docs/README.md, in the sources and in the archives
for the hosts."
    };
}

/// The end of a command's help: examples, and what its exit status means.
macro_rules! after {
    ($($example:literal),+) => {
        concat!("Examples:\n", $("  ", $example, "\n",)+ "\n", endings!())
    };
}

/// Checks configurations of Gatepass, explains what happens to a request, and creates keys
/// and tokens, with the filter's own code.
#[derive(Debug, Parser)]
#[command(name = "gatepass", version, max_term_width = 100, after_help = after!(
    "gatepass check envoy.yaml",
    "gatepass explain -c envoy.yaml --path /orders --token token.txt",
    "gatepass keygen > signing.jwk"
))]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

/// One thing to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check configurations
    ///
    /// Prints every problem with its file, line and path, and warnings. Takes Gatepass's own
    /// configuration in YAML or JSON, and finds it in an envoy.yaml, a kong.yml, and manifests
    /// of Istio, Envoy Gateway and Kong, also in ConfigMaps. Also looks at what is around it:
    /// whether requests can bypass the filter, and whether what it calls exists.
    #[command(after_help = after!(
        "gatepass check envoy.yaml",
        "gatepass check --no-env --strict deploy/*.yaml    # in CI, without the secrets"
    ))]
    Check(Check),
    /// Explain what happens to a request
    ///
    /// Decides a request as the filter does, and shows which rule matched, how far the
    /// request came, which services would be called, and what the upstream would receive.
    /// Nothing is sent: options give the replies of services, and where one is missing it
    /// stops and shows the call. A REPLY is a file with the body of a 200, another status
    /// such as 404, or `failed` for no reply.
    #[command(after_help = after!(
        "gatepass explain -c envoy.yaml --path /orders --token token.txt --jwks keys.json",
        "gatepass explain -c envoy.yaml -X POST --path /login -H 'Origin: https://a.example'",
        "gatepass explain -c envoy.yaml --no-env --token token.txt --jwks keys.json --user-info failed"
    ))]
    Explain(Explain),
    /// Verify an access token as the gateway does, or an identity token as a service does
    ///
    /// With -c, the token is an access token, verified as by the filter with this
    /// configuration, without consumers, rules, user info and revocation. With --identity, or
    /// with --jwks alone, it is an identity token, verified as a service behind the gateway
    /// should.
    #[command(after_help = after!(
        "gatepass verify -c envoy.yaml --jwks keys.json @token.txt",
        "curl -s https://gateway.example/.well-known/gatepass/jwks.json > gateway.json",
        "gatepass verify --jwks gateway.json --audience my-services @identity.txt"
    ))]
    Verify(Verify),
    /// Create an access token, for tests
    ///
    /// Signs a token such as a client of the gateway would send. With -c it gets the claims
    /// that the configuration requires.
    #[command(after_help = after!(
        "gatepass keygen -a EdDSA > issuer.jwk && gatepass jwks -k issuer.jwk > keys.json",
        "gatepass mint -c envoy.yaml --no-env -k issuer.jwk --claim azp=web > token.txt"
    ))]
    Mint(Mint),
    /// Create a key
    ///
    /// Prints a new private key for identity_token.signing_keys, or a secret for HS*.
    #[command(after_help = after!(
        "gatepass keygen > signing.jwk",
        "export GATEPASS_SIGNING_KEY=\"$(gatepass keygen --algorithm EdDSA --format pem)\""
    ))]
    Keygen(Keygen),
    /// Print public keys
    ///
    /// With -c, the key set that the gateway publishes; with --key, that of one private
    /// key, such as an issuer of test tokens would publish.
    #[command(after_help = after!(
        "gatepass jwks -c envoy.yaml",
        "gatepass jwks --key issuer.jwk > keys.json"
    ))]
    Jwks(Jwks),
    /// Print the JSON Schema of the configuration (2020-12)
    #[command(after_help = after!("gatepass schema > gatepass.schema.json"))]
    Schema,
    /// Convert the configuration of another gateway
    ///
    /// Takes a kong.yml (formats 1.1, 2.1 and 3.0), Kong's manifests, Envoy's filter
    /// jwt_authn, Istio's RequestAuthentication with AuthorizationPolicy, and Envoy
    /// Gateway's SecurityPolicy. Prints a configuration of Gatepass that accepts the same
    /// tokens, or fewer, with the secrets of the file; differences are printed on standard
    /// error, and as comments where they belong.
    #[command(after_help = after!(
        "gatepass convert kong.yml > gatepass.yaml",
        "gatepass convert --to kong-plugin kong.yml"
    ))]
    Convert(Convert),
    /// Print a script for shell completion
    #[command(after_help = after!(
        "mkdir -p ~/.local/share/bash-completion/completions",
        "gatepass completions bash > ~/.local/share/bash-completion/completions/gatepass"
    ))]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = after!(
        "gatepass man | man -l -",
        "gatepass man --directory ~/.local/share/man/man1"
    ))]
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
    /// Ignore the environment: {env: NAME}, {vault: ...} and {sds: ...} get generated values
    #[arg(long)]
    pub no_env: bool,
    /// The host it is for [default: as the file says, else envoy]
    #[arg(long)]
    pub host: Option<HostKind>,
}

/// A host of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum HostKind {
    /// Envoy, Istio, Envoy Gateway
    Envoy,
    /// Kong, with the plugin
    Kong,
    /// Kong 3.9 or 3.10, with the WebAssembly filter
    KongFilter,
}

impl HostKind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Envoy => "envoy",
            Self::Kong | Self::KongFilter => "kong",
        }
    }
}

#[derive(Args, Debug)]
pub struct Check {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// Treat warnings as problems
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
    /// The reply of the user service
    #[arg(long, value_name = "REPLY")]
    pub user_info: Option<String>,
    /// The reply of the introspection endpoint
    #[arg(long, value_name = "REPLY")]
    pub introspection: Option<String>,
    /// The feed of revoked tokens [default: nothing is revoked]
    #[arg(long, value_name = "REPLY")]
    pub revocation_feed: Option<String>,
    /// The feed of the allowlist
    #[arg(long, value_name = "REPLY")]
    pub allowlist: Option<String>,
    /// Kong's own consumer, an object with id, username, custom_id and groups; 404 if there
    /// is none
    #[arg(long, value_name = "REPLY")]
    pub kong_consumer: Option<String>,
}

// A group, so that a message about what is missing names both.
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("keys").args(["config", "jwks"]).required(true).multiple(true)))]
pub struct Verify {
    /// The token; @FILE reads it from a file, - from standard input
    #[arg(value_name = "TOKEN")]
    pub token: String,
    /// The configuration, or a file it is in
    #[arg(short, long = "config", value_name = "FILE")]
    pub config: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// It is an identity token
    #[arg(long)]
    pub identity: bool,
    /// Access token: the issuer's key set, as for explain. Identity token: the
    /// gateway's, a file
    #[arg(long, value_name = "REPLY")]
    pub jwks: Vec<String>,
    /// The reply of the introspection endpoint, as for explain
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
#[command(group(ArgGroup::new("signer").args(["key", "config"]).required(true).multiple(true)))]
pub struct Mint {
    /// A file with the private key: JWK or PKCS#8 PEM [default: a secret in the
    /// provider's local_jwks]
    #[arg(short, long, value_name = "FILE")]
    pub key: Option<String>,
    /// The configuration that should accept the token
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
    /// A claim, NAME=VALUE; VALUE is JSON, or else text. NAME= removes the claim.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConvertTo {
    /// The configuration alone
    #[default]
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
    /// RSA, 2048 bits, for the native modules
    #[value(name = "PS256")]
    Ps256,
    /// P-384, for the native modules
    #[value(name = "ES384")]
    Es384,
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
#[command(group(ArgGroup::new("source").args(["config", "key"]).required(true)))]
pub struct Jwks {
    /// The configuration, or a file it is in
    #[arg(short, long = "config", value_name = "FILE")]
    pub config: Option<String>,
    #[command(flatten)]
    pub reading: Reading,
    /// A file with a private key: JWK or PKCS#8 PEM
    #[arg(short, long, value_name = "FILE")]
    pub key: Option<String>,
    /// `kid` of that key [default: its own, else its thumbprint]
    #[arg(long, requires = "key")]
    pub kid: Option<String>,
    /// When: RFC 3339, or seconds since 1970 [default: now]
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}
