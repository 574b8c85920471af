//! Idempotency keys: who is the first with one, and the answer that all who come later get.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::{StoreError, pool::Tx, sql::sql, value::Value};
use crate::domain::{Id, UnixMs, tenant::Tenant};

/// A claim to be the first with a key. Whoever comes later with the same body gets the first one's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The call, `own_id`, or `form`.
    pub scope: &'static str,
    pub key: String,
    /// SHA-256 of the request's body.
    pub body_hash: Vec<u8>,
    pub expires_at: UnixMs,
}

/// A gate with its tenant, among those that one transaction claims.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'g> {
    pub(super) tenant: Id<Tenant>,
    pub(super) gate: &'g Gate,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Claim {
    /// It is the first; this is what its key keeps.
    Won { answer: String },
    /// Another claim of this transaction with the same body was before it, and is answered for both.
    Double { winner: usize },
    /// The key was used before with the same body; this was the answer.
    Replayed { answer: String },
    /// The key was used for another body.
    Conflict,
}

/// The claims of a group, each in the place of what it was made for; `None` where there was no gate to pass.
pub(super) struct Claims(Vec<Option<Claim>>);

/// What a claim means for what it was made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Passed,
    Replayed {
        answer: String,
    },
    Conflict,
}

impl Claims {
    pub(super) fn passed(&self, place: usize) -> bool {
        matches!(self.0[place], None | Some(Claim::Won { .. }))
    }

    pub(super) fn verdict(&self, place: usize) -> Verdict {
        match &self.0[place] {
            None | Some(Claim::Won { .. }) => Verdict::Passed,
            Some(Claim::Replayed { answer }) => Verdict::Replayed { answer: answer.clone() },
            Some(Claim::Double { winner }) => match &self.0[*winner] {
                Some(Claim::Won { answer }) => Verdict::Replayed { answer: answer.clone() },
                _ => Verdict::Conflict,
            },
            Some(Claim::Conflict) => Verdict::Conflict,
        }
    }

    /// Replaces what the keys in these places keep, where they were won.
    pub(super) async fn amend(
        &mut self,
        tx: &mut Tx<'_>,
        wanted: &[Option<Wanted<'_>>],
        answers: Vec<(usize, String)>,
    ) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(answers.len());
        for (place, answer) in answers {
            if let (Some(one), Some(Claim::Won { answer: kept })) = (&wanted[place], &mut self.0[place]) {
                kept.clone_from(&answer);
                let (tenant, scope, key) = one.key();
                rows.push(vec![tenant.into(), scope.into(), key.into(), answer.into()]);
            }
        }
        for run in tx.dialect().runs(rows) {
            let update = sql("UPDATE idempotency_keys SET answer = v.column4 FROM (").rows(run).then(
                ") AS v WHERE idempotency_keys.tenant_id = v.column1 AND idempotency_keys.scope = v.column2 \
                    AND idempotency_keys.key = v.column3",
            );
            tx.execute(update).await?;
        }
        Ok(())
    }
}

type Key<'g> = (Id<Tenant>, &'static str, &'g str);

impl<'g> Wanted<'g> {
    fn key(&self) -> Key<'g> {
        (self.tenant, self.gate.scope, self.gate.key.as_str())
    }
}

/// What a key kept that was used before this transaction.
#[derive(Debug, sqlx::FromRow)]
struct Used {
    place: i64,
    body_hash: Vec<u8>,
    answer: String,
}

/// Claims keys in their order, so that two groups cannot wait for each other. `answer` is what the key of a place
/// keeps if it is won; it is asked for the first of each key only.
pub(super) async fn claim(
    tx: &mut Tx<'_>,
    wanted: &[Option<Wanted<'_>>],
    answer: impl Fn(usize) -> String + Send,
    now: UnixMs,
) -> Result<Claims, StoreError> {
    let gates = || wanted.iter().enumerate().filter_map(|(place, one)| Some((place, (*one)?)));
    let mut firsts: BTreeMap<Key<'_>, usize> = BTreeMap::new();
    for (place, one) in gates() {
        firsts.entry(one.key()).or_insert(place);
    }
    let mut claims = Claims(vec![None; wanted.len()]);
    let mut used: HashMap<usize, Used> = HashMap::new();
    for run in tx.dialect().runs(firsts.values().filter_map(|&place| Some((place, wanted[place]?))).collect()) {
        let answers: Vec<String> = run.iter().map(|(place, _)| answer(*place)).collect();
        let won = insert(tx, &run, &answers, now).await?;
        let won: HashSet<_> = won.iter().map(|(tenant, scope, key)| (*tenant, scope.as_str(), key.as_str())).collect();
        let mut lost = Vec::new();
        for ((place, one), answer) in run.into_iter().zip(answers) {
            if won.contains(&(one.tenant.uuid(), one.gate.scope, one.gate.key.as_str())) {
                claims.0[place] = Some(Claim::Won { answer });
            } else {
                lost.push((place, one));
            }
        }
        used.extend(select_used(tx, &lost).await?);
    }
    for (place, one) in gates() {
        let first = firsts.get(&one.key()).copied().unwrap_or(place);
        claims.0[place].get_or_insert_with(|| match used.get(&first) {
            Some(used) if used.body_hash == one.gate.body_hash => Claim::Replayed { answer: used.answer.clone() },
            None if wanted[first].is_some_and(|first| first.gate.body_hash == one.gate.body_hash) => {
                Claim::Double { winner: first }
            }
            Some(_) | None => Claim::Conflict,
        });
    }
    Ok(claims)
}

/// Inserts the keys that nobody has, or whose time is over. Answers with them.
async fn insert(
    tx: &mut Tx<'_>,
    run: &[(usize, Wanted<'_>)],
    answers: &[String],
    now: UnixMs,
) -> Result<Vec<(Uuid, String, String)>, StoreError> {
    let row = |((_, one), answer): (&(usize, Wanted<'_>), &String)| {
        let (tenant, scope, key) = one.key();
        let Gate { body_hash, expires_at, .. } = one.gate;
        vec![
            tenant.into(),
            scope.into(),
            key.into(),
            body_hash.as_slice().into(),
            answer.as_str().into(),
            (*expires_at).into(),
        ]
    };
    let insert = sql("INSERT INTO idempotency_keys (tenant_id, scope, key, body_hash, answer, expires_at) ")
        .rows(run.iter().zip(answers).map(row).collect())
        .then(" ON CONFLICT (tenant_id, scope, key) DO UPDATE SET body_hash = excluded.body_hash, answer = excluded.answer, expires_at = excluded.expires_at")
        .and(" WHERE idempotency_keys.expires_at <= ", now)
        .then(" RETURNING tenant_id, scope, key");
    tx.fetch(insert).await
}

/// What the keys in these places keep; the claim has locked their rows.
async fn select_used(tx: &mut Tx<'_>, lost: &[(usize, Wanted<'_>)]) -> Result<HashMap<usize, Used>, StoreError> {
    let mut used = HashMap::with_capacity(lost.len());
    for run in tx.dialect().runs(lost.to_vec()) {
        let row = |&(place, one): &(usize, Wanted<'_>)| -> Vec<Value> {
            let (tenant, scope, key) = one.key();
            vec![tenant.into(), scope.into(), key.into(), i64::try_from(place).unwrap_or(i64::MAX).into()]
        };
        let select = sql("SELECT v.column4 AS place, k.body_hash, k.answer FROM (")
            .rows(run.iter().map(row).collect())
            .then(") AS v JOIN idempotency_keys k ON k.tenant_id = v.column1 AND k.scope = v.column2 AND k.key = v.column3");
        for one in tx.fetch::<Used>(select).await? {
            used.insert(usize::try_from(one.place).unwrap_or(usize::MAX), one);
        }
    }
    if used.len() < lost.len() {
        return Err(StoreError::unreadable("idempotency key", "it vanished"));
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::{
        Store,
        tests::{a_store, remove},
    };

    /// One claim: whose, which key, for which body, and for how long; `None` wants no gate.
    type Want = Option<(usize, u8, u8, i64)>;

    /// What each key keeps: the body, the answer, and until when.
    type Model = HashMap<(Id<Tenant>, String), (Vec<u8>, String, UnixMs)>;

    fn groups() -> impl Strategy<Value = Vec<(i64, Vec<Want>)>> {
        let want = prop::option::weighted(0.9, (0..2_usize, 0..3_u8, 0..2_u8, 1..100_i64));
        prop::collection::vec((0..80_i64, prop::collection::vec(want, 1..8)), 1..8)
    }

    /// What has to become of a claim that is made alone.
    fn expected(model: &mut Model, one: &Gate, tenant: Id<Tenant>, answer: &str, now: UnixMs) -> Verdict {
        let key = (tenant, one.key.clone());
        match model.get(&key) {
            Some((body, kept, until)) if *until > now => match *body == one.body_hash {
                true => Verdict::Replayed { answer: kept.clone() },
                false => Verdict::Conflict,
            },
            _ => {
                model.insert(key, (one.body_hash.clone(), answer.to_owned(), one.expires_at));
                Verdict::Passed
            }
        }
    }

    /// Claims group after group; each has to come to what single claims in a row would.
    async fn agrees(store: &Store, groups: Vec<(i64, Vec<Want>)>) {
        let (tenants, mut model, mut now) = ([Id::new(), Id::new()], Model::new(), UnixMs(1_000));
        for (n, (passed_ms, wants)) in groups.into_iter().enumerate() {
            now = UnixMs(now.0 + passed_ms);
            let gate = |(tenant, key, body, ttl_ms): (usize, u8, u8, i64)| {
                let expires_at = UnixMs(now.0 + ttl_ms);
                (tenants[tenant], Gate { scope: "test", key: key.to_string(), body_hash: vec![body; 32], expires_at })
            };
            let gates: Vec<_> = wants.into_iter().map(|want| want.map(gate)).collect();
            let wanted: Vec<Option<Wanted<'_>>> =
                gates.iter().map(|one| one.as_ref().map(|(tenant, gate)| Wanted { tenant: *tenant, gate })).collect();
            let answer = |place: usize| format!("{n}.{place}");
            let mut tx = store.pool.begin().await.unwrap();
            let claims = claim(&mut tx, &wanted, answer, now).await.unwrap();
            tx.commit().await.unwrap();
            for (place, one) in gates.iter().enumerate() {
                let expected = match one {
                    Some((tenant, gate)) => expected(&mut model, gate, *tenant, &answer(place), now),
                    None => Verdict::Passed,
                };
                assert_eq!(claims.verdict(place), expected, "group {n}, place {place}");
                assert_eq!(claims.passed(place), expected == Verdict::Passed);
            }
        }
    }

    #[test]
    fn keys_are_kept_as_a_simple_model_keeps_them() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (store, folder) = runtime.block_on(a_store());
        proptest!(ProptestConfig::with_cases(64), |(groups in groups())| {
            runtime.block_on(agrees(&store, groups));
        });
        runtime.block_on(remove(store, folder));
    }
}
