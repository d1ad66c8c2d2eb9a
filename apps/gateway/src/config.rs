//! The settings: from flags, or from the environment. `heimdell serve --help` lists each with its default.
use std::{ffi::OsString, net::IpAddr, path::PathBuf};

use clap::Args;

/// Where the data is.
#[derive(Args, Clone)]
pub struct Storage {
    /// The database. Without it the program runs a PostgreSQL of its own.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Where the program's own PostgreSQL keeps its data.
    #[arg(long, env = "HEIMDELL_HOME", default_value = ".heimdell")]
    pub home: PathBuf,
    /// The folder of the PostgreSQL programs (initdb, postgres), where they are not found by themselves.
    #[arg(long, env = "HEIMDELL_PG_BIN")]
    pub pg_bin: Option<PathBuf>,
    /// Where programs are looked for.
    #[arg(long, env = "PATH", hide = true)]
    pub path: Option<OsString>,
    /// How many connections to the database at most.
    #[arg(long, env = "HEIMDELL_DATABASE_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub connections: u32,
    /// The keys that seal secrets in the database: `id:key` with commas between them, each of 64 hexadecimal digits; the
    /// first one seals. Without it they are in the file `keyring` in HEIMDELL_HOME, made at the first start.
    #[arg(long, env = "HEIMDELL_KEYRING", hide_env_values = true)]
    pub keyring: Option<String>,
    /// Leave the schema as it is, and refuse to start where it is not current.
    #[arg(long, env = "HEIMDELL_NO_MIGRATE")]
    pub no_migrate: bool,
}

/// How requests come in.
#[derive(Args, Clone)]
pub struct Listening {
    /// The port.
    #[arg(long, env = "PORT", default_value_t = 3001)]
    pub port: u16,
    /// The address to listen on. The default is reached from this machine alone.
    #[arg(long, env = "HEIMDELL_LISTEN", default_value = "127.0.0.1")]
    pub listen: IpAddr,
    /// Seconds between SIGTERM and the last accepted request, so that a balancer sees that the process is not ready.
    #[arg(long, env = "HEIMDELL_DRAIN_SECONDS", default_value_t = 3)]
    pub drain_seconds: u64,
    /// Handle no jobs in this process.
    #[arg(long, env = "HEIMDELL_NO_WORKERS")]
    pub no_workers: bool,
}

/// How others hear of the program's own state.
#[derive(Args, Clone)]
pub struct Watching {
    /// The webhook of a Discord channel that hears of alerts of severity `error` and above. Give it to every process
    /// that does jobs.
    #[arg(long, env = "HEIMDELL_DISCORD_WEBHOOK_URL", hide_env_values = true)]
    pub discord_webhook_url: Option<String>,
    /// Lets `/metrics` be read from other machines, as `Authorization: Bearer …`, at least 16 characters. Without it
    /// this machine and administrators read them.
    #[arg(long, env = "HEIMDELL_METRICS_TOKEN", hide_env_values = true)]
    pub metrics_token: Option<String>,
    /// Let the program call addresses of private networks, for development.
    #[arg(long, env = "HEIMDELL_ALLOW_PRIVATE_ADDRESSES", value_parser = clap::builder::BoolishValueParser::new())]
    pub allow_private_addresses: bool,
    /// Where traces go.
    #[command(flatten)]
    pub tracing: Tracing,
}

/// Where traces go. The names of the variables are OpenTelemetry's.
#[derive(Args, Clone)]
pub struct Tracing {
    /// The collector of traces, by OTLP over HTTP in JSON: http://localhost:4318. Without it there are no traces.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Headers for the collector: `name=value` with commas between them.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_HEADERS",
        hide_env_values = true,
        default_value = "",
        hide_default_value = true
    )]
    pub otlp_headers: String,
    /// The name of this program in traces.
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "heimdell")]
    pub service_name: String,
}

/// How the log is written.
#[derive(Args, Clone)]
pub struct Logging {
    /// What is logged: `info`, `debug`, or a filter such as `heimdell=debug,info`.
    #[arg(long, env = "HEIMDELL_LOG", default_value = "info")]
    pub log: String,
    /// `text` for people, `json` for machines.
    #[arg(long, env = "HEIMDELL_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// The form of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}
