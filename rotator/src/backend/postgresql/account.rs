//! Whether an account can be rotated: what is asked of a server before anything is generated.

use tokio_postgres::Row;

use super::admin::Admin;
use super::settings::Door;
use crate::rotation::context::SetError;

/// Everything that decides what a session of a role may do, comparable between two roles.
const FACTS: &str = "\
SELECT r.rolcanlogin AS login, r.rolsuper AS super, \
 coalesce(r.rolvaliduntil <= pg_catalog.now(), false) AS over, \
 EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE m.roleid = r.oid) AS has_members, \
 EXISTS (SELECT FROM pg_catalog.pg_shdepend d WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass \
  AND d.refobjid = r.oid AND d.deptype = 'o') AS owns, \
 ARRAY[r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls]::text \
  || r.rolconnlimit || coalesce(r.rolvaliduntil::text, '') AS attributes, \
 ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid \
  WHERE m.member = r.oid ORDER BY 1) AS memberships, \
 ARRAY(SELECT s.setdatabase::text || ' ' || setting FROM pg_catalog.pg_db_role_setting s, \
  pg_catalog.unnest(s.setconfig) AS setting WHERE s.setrole = r.oid ORDER BY 1) AS settings, \
 ARRAY(SELECT pg_catalog.concat_ws(' ', d.dbid, d.classid, d.objid, d.objsubid) FROM pg_catalog.pg_shdepend d \
  WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND d.refobjid = r.oid AND d.deptype = 'a' \
  ORDER BY 1) AS grants \
FROM pg_catalog.pg_roles r WHERE r.rolname = $1";

/// What the administrator may do with one account.
const RIGHTS: &str = "\
SELECT a.rolsuper AS super, \
 a.rolcreaterole AND (pg_catalog.current_setting('server_version_num')::int < 160000 \
  OR pg_catalog.pg_has_role(a.rolname, $1, 'MEMBER WITH ADMIN OPTION')) AS alter, \
 pg_catalog.pg_has_role(a.rolname, 'pg_signal_backend', 'USAGE') OR pg_catalog.pg_has_role(a.rolname, $1, 'USAGE') \
  AS signal \
FROM pg_catalog.pg_roles a WHERE a.rolname = current_user";

const DOING: &str = "read catalogs";

/// What the strategy asks of an account.
pub(super) enum Wanted<'a> {
    /// One of two accounts that inherit a role.
    OneOfTwo {
        /// The other one.
        other: &'a str,
        /// Their role.
        role: &'a str,
    },
    /// The only one.
    Only,
}

fn person(door: &Door, why: &str, next: &str) -> SetError {
    SetError::NeedsPerson {
        why: format!("{}: {why}", door.label),
        next: format!("{next}, then `rotator retry`"),
    }
}

/// Refuses an account that could not be rotated without harm, in one line.
pub(super) async fn check(
    admin: &Admin,
    door: &Door,
    account: &str,
    wanted: &Wanted<'_>,
) -> Result<(), SetError> {
    // Says it where the role is missing.
    admin.role(account).await?;
    if admin.user == account {
        let why = format!("{account} is the administrator that would rotate it");
        return Err(person(door, &why, "let another administrator rotate it (adminRef)"));
    }
    let facts = Facts::read(admin, account).await?;
    check_rights(admin, door, account, &facts).await?;
    if facts.expired {
        let why = format!("the VALID UNTIL of {account} is over: no password lets it in");
        return Err(person(door, &why, &format!("ALTER ROLE \"{account}\" VALID UNTIL 'infinity'")));
    }
    match wanted {
        Wanted::Only if !facts.login => {
            let why = format!("{account} may not log in (NOLOGIN)");
            Err(person(door, &why, &format!("ALTER ROLE \"{account}\" LOGIN, or correct the Rotation")))
        }
        Wanted::Only => Ok(()),
        Wanted::OneOfTwo { other, role } => check_pair(admin, door, account, &facts, other, role).await,
    }
}

async fn check_rights(admin: &Admin, door: &Door, account: &str, facts: &Facts) -> Result<(), SetError> {
    let Some(row) = admin.one(DOING, RIGHTS, &[&account]).await? else { return Ok(()) };
    let right = |name: &str| row.try_get::<_, bool>(name).map_err(|error| admin.failed(DOING, &error));
    let user = &admin.user;
    if right("super")? {
        return Ok(());
    }
    if facts.superuser || !right("alter")? {
        let why = format!("the administrator {user} may not change {account}");
        let next = if facts.superuser {
            format!("ALTER ROLE \"{account}\" NOSUPERUSER (applications need no superuser)")
        } else {
            format!(
                "ALTER ROLE \"{user}\" CREATEROLE, and from PostgreSQL 16 GRANT \"{account}\" TO \"{user}\" WITH ADMIN OPTION"
            )
        };
        return Err(person(door, &why, &next));
    }
    if !right("signal")? {
        let why = format!("the administrator {user} may not end sessions of {account}");
        return Err(person(door, &why, &format!("GRANT pg_signal_backend TO \"{user}\"")));
    }
    Ok(())
}

async fn check_pair(
    admin: &Admin,
    door: &Door,
    account: &str,
    facts: &Facts,
    other: &str,
    role: &str,
) -> Result<(), SetError> {
    admin.role(role).await?;
    admin.role(other).await?;
    let others = Facts::read(admin, other).await?;
    for (name, facts) in [(account, facts), (other, &others)] {
        let sql = "SELECT pg_catalog.pg_has_role($1::name, $2::name, 'USAGE')";
        if admin.value::<bool>(DOING, sql, &[&name, &role]).await? != Some(true) {
            let why = format!("{name} does not inherit the rights of {role}");
            return Err(person(
                door,
                &why,
                &format!("GRANT \"{role}\" TO \"{name}\"; ALTER ROLE \"{name}\" INHERIT"),
            ));
        }
        if facts.has_members {
            let why = format!("{name} is a group: other roles are its members");
            return Err(person(door, &why, "name two accounts that are only logins"));
        }
        if facts.owns {
            let why = format!("objects belong to {name}, and the other account could not use them");
            let next = format!("in each database REASSIGN OWNED BY \"{name}\" TO \"{role}\"");
            return Err(person(door, &why, &next));
        }
    }
    if let Some(what) = facts.difference(&others) {
        let why = format!("{account} and {other} differ in {what}: consumers would notice the change");
        return Err(person(door, &why, "make them alike"));
    }
    Ok(())
}

struct Facts {
    login: bool,
    superuser: bool,
    expired: bool,
    has_members: bool,
    owns: bool,
    attributes: String,
    memberships: Vec<String>,
    settings: Vec<String>,
    grants: Vec<String>,
}

impl Facts {
    async fn read(admin: &Admin, account: &str) -> Result<Self, SetError> {
        let row = admin.one(DOING, FACTS, &[&account]).await?;
        let gone = || person_gone(account);
        Self::of(&row.ok_or_else(gone)?).map_err(|error| admin.failed(DOING, &error))
    }

    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            login: row.try_get("login")?,
            superuser: row.try_get("super")?,
            expired: row.try_get("over")?,
            has_members: row.try_get("has_members")?,
            owns: row.try_get("owns")?,
            attributes: row.try_get("attributes")?,
            memberships: row.try_get("memberships")?,
            settings: row.try_get("settings")?,
            grants: row.try_get("grants")?,
        })
    }

    /// In what two accounts differ, by name: values of settings may be secrets.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.attributes != other.attributes {
            Some("their attributes (\\du)")
        } else if self.memberships != other.memberships {
            Some("the roles that they belong to (\\du)")
        } else if self.settings != other.settings {
            Some("their settings (\\drds)")
        } else if self.grants != other.grants {
            Some("rights that were granted to one of them and not to their role")
        } else {
            None
        }
    }
}

fn person_gone(account: &str) -> SetError {
    SetError::NeedsPerson {
        why: format!("the role {account} was dropped a moment ago"),
        next: "create it again or correct the Rotation, then `rotator retry`".into(),
    }
}
