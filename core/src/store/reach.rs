//! One connection to PostgreSQL before there is a pool, which would only say that time ran out. Owns the words for an
//! operator whose server cannot be connected to.

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use super::{
    StoreError,
    connect::{ACQUIRE, POSTGRES_FORM},
};

/// SQLSTATEs (Appendix A) of what stays as it is until somebody changes it: invalid_password,
/// invalid_authorization_specification, invalid_catalog_name, insufficient_privilege.
const LOGIN: [&str; 2] = ["28P01", "28000"];
const NO_DATABASE: &str = "3D000";
const NO_RIGHT: &str = "42501";

/// # Errors
/// [`StoreError::Unreachable`] where the server may answer later, [`StoreError::Configuration`] where it will not
/// before somebody mends something.
pub(super) async fn reach(options: &PgConnectOptions) -> Result<(), StoreError> {
    match tokio::time::timeout(ACQUIRE, PgConnection::connect_with(options)).await {
        Ok(Ok(connection)) => Ok(connection.close().await?),
        Ok(Err(error)) => Err(explain(options, error)),
        Err(_) => Err(StoreError::Unreachable(format!(
            "{} did not answer within {} s; is PostgreSQL running there, may this machine reach it, and are host and \
             port right in the setting database_url?",
            place(options),
            ACQUIRE.as_secs()
        ))),
    }
}

fn explain(options: &PgConnectOptions, error: sqlx::Error) -> StoreError {
    let at = place(options);
    match &error {
        sqlx::Error::Io(why) => StoreError::Unreachable(format!(
            "{at} cannot be reached: {why}; is PostgreSQL running there, and are host and port right in the setting \
             database_url?"
        )),
        sqlx::Error::Tls(why) => StoreError::Configuration(format!(
            "{at} cannot be reached over TLS: {why}; change sslmode or sslrootcert in the setting database_url"
        )),
        sqlx::Error::Protocol(why) => StoreError::Unreachable(format!(
            "{at} does not answer as PostgreSQL does: {why}; is its port right in the setting database_url?"
        )),
        sqlx::Error::Database(said) => {
            let (code, why) = (said.code().unwrap_or_default(), said.message());
            if LOGIN.contains(&code.as_ref()) {
                return StoreError::Configuration(format!(
                    "{at} refuses the login: {why}; give the right user and password in the setting database_url, as \
                     in {POSTGRES_FORM}"
                ));
            }
            if code == NO_DATABASE {
                let name = database(options);
                return StoreError::Configuration(format!(
                    "{at} is not there: {why}; make it with `CREATE DATABASE {name}`, or name another in the setting \
                     database_url"
                ));
            }
            if code == NO_RIGHT {
                let user = options.get_username();
                return StoreError::Configuration(format!("{at} cannot be used: {why}; give {user} the right to it"));
            }
            let why = why.to_owned();
            match StoreError::from(error) {
                StoreError::Unavailable(_) => StoreError::Unreachable(format!("{at} takes no connection yet: {why}")),
                other => other,
            }
        }
        _ => error.into(),
    }
}

/// Where it is, without a password.
fn place(options: &PgConnectOptions) -> String {
    let server = options.get_socket().map_or_else(
        || format!("{}:{}", options.get_host(), options.get_port()),
        |socket| socket.display().to_string(),
    );
    format!("the database postgres://{server}/{}", database(options))
}

fn database(options: &PgConnectOptions) -> &str {
    options.get_database().unwrap_or_else(|| options.get_username())
}
