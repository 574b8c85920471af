//! People who leave many topics at once.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};

use super::Fixture;
use crate::harness::Stack;

on_both_stacks!(whoever_is_removed_leaves_some_topics_after_the_others);

/// One more than are left at once.
const TOPICS: usize = 501;

/// Beside the store.
async fn run(at: &Fixture, sqlite: &str, postgres: &str) {
    let url = at.database.url();
    let of = |text: &str| sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
    match at.stack {
        Stack::Sqlite => {
            SqliteConnection::connect(url).await.unwrap().execute(of(sqlite)).await.unwrap().rows_affected()
        }
        Stack::Postgres => {
            PgConnection::connect(url).await.unwrap().execute(of(postgres)).await.unwrap().rows_affected()
        }
    };
}

async fn whoever_is_removed_leaves_some_topics_after_the_others(stack: Stack) {
    let at = Fixture::make(stack).await;
    let scope = at.store.tenant(at.tenant.id);
    let ada = "ada".parse().unwrap();
    let key = |n: usize| format!("t{n:03}").parse().unwrap();
    for n in 0..TOPICS {
        let (topic, _) = scope.put_topic(&key(n), Some("T"), None, at.now).await.unwrap();
        scope.change_subscriptions(&topic, &[("ada".parse().unwrap(), true)].into(), at.now).await.unwrap();
    }
    let subscribers = async |n| scope.topic(&key(n)).await.unwrap().unwrap().subscribers;
    // The last topic cannot be left: what was left before it is committed already.
    let trigger = "CREATE TRIGGER stays BEFORE UPDATE ON topics WHEN NEW.key = 't500' AND NEW.subscribers = 0 \
        BEGIN SELECT RAISE(ABORT, 'it stays'); END";
    run(&at, trigger, "ALTER TABLE topics ADD CONSTRAINT stays CHECK (key <> 't500' OR subscribers > 0)").await;
    scope.delete_recipient(&ada).await.unwrap_err();
    assert_eq!([subscribers(0).await, subscribers(TOPICS - 2).await, subscribers(TOPICS - 1).await], [0, 0, 1]);
    assert!(scope.recipient(&ada).await.unwrap().is_some());
    run(&at, "DROP TRIGGER stays", "ALTER TABLE topics DROP CONSTRAINT stays").await;
    assert!(scope.delete_recipient(&ada).await.unwrap());
    assert_eq!([subscribers(0).await, subscribers(TOPICS - 1).await], [0, 0]);
    assert!(!scope.delete_recipient(&ada).await.unwrap());
}
