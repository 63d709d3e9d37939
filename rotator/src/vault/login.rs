//! The login request of each auth method, as Vault's API documents it (`api-docs/auth/*`, "Login").

use shared::secret::Secret;

use super::config::Auth;
use super::failure::Failure;
use super::paths::ServerPath;
use super::session::fetch;
use crate::wiped::WipedBuffer;

/// Credentials are small; the largest is a JWT.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What is sent to log in.
pub(super) struct Credentials {
    pub(super) path: ServerPath,
    pub(super) body: Secret,
}

impl Credentials {
    /// Gathers them, fresh from where they come from.
    pub(super) async fn of(auth: &Auth) -> Result<Self, Failure> {
        match auth {
            // A token is used as it is.
            Auth::Token(_) => Err(Failure::Unexpected("a token needs no login".to_owned())),
            Auth::Kubernetes { mount, role, jwt } | Auth::Jwt { mount, role, jwt } => {
                let jwt = fetch(jwt).await?;
                let jwt = jwt.expose(|bytes| Secret::copy_of(bytes.trim_ascii()));
                Self::new(mount, &["login"], &[("role", &text(role)), ("jwt", &jwt)])
            }
            Auth::AppRole { mount, role_id, secret_id } => {
                Self::new(mount, &["login"], &[("role_id", &text(role_id)), ("secret_id", secret_id)])
            }
            Auth::Ldap { mount, username, password } | Auth::UserPass { mount, username, password } => {
                Self::new(mount, &["login", username], &[("password", password)])
            }
            Auth::Cert { mount, role } => match role {
                Some(role) => Self::new(mount, &["login"], &[("name", &text(role))]),
                None => Self::new(mount, &["login"], &[]),
            },
        }
    }

    fn new(mount: &str, end: &[&str], fields: &[(&str, &Secret)]) -> Result<Self, Failure> {
        let bad = |problem: &str| Failure::LoginRefused(problem.to_owned());
        let mount = ServerPath::parse(mount).map_err(|why| bad(&format!("the auth method's path: {why}")))?;
        if end.iter().any(|part| part.is_empty() || part.contains('/') || matches!(*part, "." | "..")) {
            return Err(bad("the user's name cannot be part of a path"));
        }
        let path =
            ServerPath::of(&["auth"]).join(&mount.parts().iter().map(String::as_str).collect::<Vec<_>>());
        Ok(Self { path: path.join(end), body: object(fields)? })
    }
}

/// A JSON object of secrets, written straight into a wiped buffer.
fn object(fields: &[(&str, &Secret)]) -> Result<Secret, Failure> {
    use std::io::Write as _;
    let mut body = WipedBuffer::new(BODY_BYTES_MAX);
    let mut write = || -> std::io::Result<()> {
        body.write_all(b"{")?;
        for (index, (name, value)) in fields.iter().enumerate() {
            body.write_all(if index == 0 { b"" } else { b"," })?;
            serde_json::to_writer(&mut body, name)?;
            body.write_all(b":")?;
            value.expose(|bytes| -> std::io::Result<()> {
                let text = std::str::from_utf8(bytes).map_err(std::io::Error::other)?;
                Ok(serde_json::to_writer(&mut body, text)?)
            })?;
        }
        body.write_all(b"}")
    };
    write()
        .map_err(|_| Failure::LoginRefused("the credential is not text, or longer than any".to_owned()))?;
    Ok(body.into_secret())
}

/// How a login is called in messages.
pub(super) fn name(auth: &Auth) -> String {
    match auth {
        Auth::Token(_) => "token".to_owned(),
        Auth::Kubernetes { mount, role, .. } => format!("{mount} role {role}"),
        Auth::AppRole { mount, role_id, .. } => format!("{mount} role id {role_id}"),
        Auth::Jwt { mount, role, .. } => format!("{mount} role {role}"),
        Auth::Ldap { mount, username, .. } | Auth::UserPass { mount, username, .. } => {
            format!("{mount} user {username}")
        }
        Auth::Cert { mount, role } => match role {
            Some(role) => format!("{mount} role {role}"),
            None => mount.clone(),
        },
    }
}

/// What to look at when a login is refused.
pub(super) fn hint(auth: &Auth) -> String {
    match auth {
        Auth::Token(_) => "put a valid token in its place".to_owned(),
        Auth::Kubernetes { mount, .. } => format!(
            "see that the role exists at auth/{mount} and is bound to this service account, namespace and audience"
        ),
        Auth::Jwt { mount, .. } => {
            format!(
                "see that the role exists at auth/{mount} and accepts the token's issuer, audience and claims"
            )
        }
        Auth::AppRole { .. } => "see that the role id and the secret id are right and not expired".to_owned(),
        Auth::Ldap { .. } | Auth::UserPass { .. } => {
            "see that the user and the password are right".to_owned()
        }
        Auth::Cert { mount, .. } => {
            format!("see that auth/{mount} has a role that accepts the client certificate")
        }
    }
}

/// What to do when the auth method is not there.
pub(super) fn no_mount(auth: &Auth) -> String {
    let mount = match auth {
        Auth::Token(_) => "token",
        Auth::Kubernetes { mount, .. }
        | Auth::AppRole { mount, .. }
        | Auth::Jwt { mount, .. }
        | Auth::Ldap { mount, .. }
        | Auth::UserPass { mount, .. }
        | Auth::Cert { mount, .. } => mount,
    };
    format!("no auth method is enabled at auth/{mount}, or the namespace is another")
}

fn text(plain: &str) -> Secret {
    Secret::copy_of(plain.as_bytes())
}
