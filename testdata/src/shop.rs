//! The demo's shop: one page behind HTTP Basic. The passwords are an htpasswd file, read again at each request, as
//! nginx and Apache do it.
//!
//! `shop serve` runs it on a free port of the loopback address; `shop ask` logs in once and says what it answered.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the page until the process is ended
    Serve {
        /// The file of accounts; only bcrypt hashes let in
        #[arg(long)]
        htpasswd: PathBuf,
        /// Gets the page's URL when the port is open
        #[arg(long)]
        url_file: PathBuf,
    },
    /// Log in once, with the password from standard input, and print the status
    Ask {
        /// The page
        url: String,
        /// The account
        account: String,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Serve { htpasswd, url_file } => serve(htpasswd, &url_file),
        Command::Ask { url, account } => ask(&url, &account),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(htpasswd: PathBuf, url_file: &Path) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.context("no free port")?;
    let url = format!("http://{}/", listener.local_addr()?);
    // Renamed into place: whoever waits for the file never reads half of a URL.
    let new = url_file.with_extension("new");
    std::fs::write(&new, url).with_context(|| new.display().to_string())?;
    std::fs::rename(&new, url_file).with_context(|| url_file.display().to_string())?;
    let page = Router::new().route("/", get(page)).with_state(Arc::new(htpasswd));
    axum::serve(listener, page).await.context("the server ended")
}

async fn page(State(htpasswd): State<Arc<PathBuf>>, headers: HeaderMap) -> Response {
    let allowed = tokio::task::spawn_blocking(move || is_allowed(&htpasswd, &headers).unwrap_or(false)).await;
    if allowed.unwrap_or(false) {
        "welcome to the shop\n".into_response()
    } else {
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic realm=\"shop\"")]).into_response()
    }
}

/// `None`: no login, no such account, or no file.
fn is_allowed(htpasswd: &Path, headers: &HeaderMap) -> Option<bool> {
    let login = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let login = String::from_utf8(data_encoding::BASE64.decode(login.as_bytes()).ok()?).ok()?;
    let (account, password) = login.split_once(':')?;
    let accounts = std::fs::read_to_string(htpasswd).ok()?;
    let hash = accounts.lines().find_map(|line| line.strip_prefix(account)?.strip_prefix(':'))?;
    bcrypt::verify(password, hash).ok()
}

fn ask(url: &str, account: &str) -> anyhow::Result<()> {
    let mut password = String::new();
    std::io::stdin().take(1024).read_to_string(&mut password)?;
    let login = data_encoding::BASE64.encode(format!("{account}:{}", password.trim_end()).as_bytes());
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let answer = agent.get(url).header("Authorization", format!("Basic {login}")).call();
    let status = answer.with_context(|| url.to_owned())?.status();
    #[expect(clippy::print_stdout, reason = "the answer is what this command is for")]
    {
        println!("{status}");
    }
    Ok(())
}
