//! Lists of endpoints by state and words. A tenant has few enough of them for words to be looked for in all.

use super::{
    Listed, Page, Scope, StoreError,
    endpoints::{Row, select},
    jobs::like,
    sql::{Dialect, Sql, sql},
};
use crate::domain::{
    Id,
    endpoint::{Endpoint, EndpointState},
    tenant::Tenant,
};

/// Which endpoints a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointFilter {
    pub state: Option<EndpointState>,
    /// Part of the address or of the description.
    pub text: Option<String>,
}

impl Scope<'_> {
    /// # Errors
    /// When the database does not answer.
    pub async fn endpoints(&self, page: &Page<Endpoint>) -> Result<Listed<Endpoint, Endpoint>, StoreError> {
        self.endpoints_found(&EndpointFilter::default(), page).await
    }

    /// # Errors
    /// When the database does not answer.
    pub async fn endpoints_found(
        &self,
        filter: &EndpointFilter,
        page: &Page<Endpoint>,
    ) -> Result<Listed<Endpoint, Endpoint>, StoreError> {
        let found = filter.finish(select(), self.tenant, self.store.pool.dialect());
        let rows: Vec<Row> = self.store.pool.fetch(page.finish(found, "id")).await?;
        let endpoints = rows.into_iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(page.cut(endpoints, |endpoint: &Endpoint| endpoint.id))
    }

    /// How many endpoints are in a state.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn count_endpoints(&self, state: EndpointState) -> Result<u64, StoreError> {
        let filter = EndpointFilter { state: Some(state), text: None };
        let count = filter.finish(sql("SELECT COUNT(*) FROM endpoints"), self.tenant, self.store.pool.dialect());
        let counted: Option<(i64,)> = self.store.pool.fetch_one(count).await?;
        Ok(counted.map_or(0, |(rows,)| u64::try_from(rows).unwrap_or(0)))
    }
}

impl EndpointFilter {
    fn finish(&self, select: Sql, tenant: Id<Tenant>, dialect: Dialect) -> Sql {
        let mut select = select.and(" WHERE deleted_at IS NULL AND tenant_id = ", tenant);
        if let Some(state) = self.state {
            select = select.and(" AND state = ", state.as_str());
        }
        let Some(text) = &self.text else { return select };
        // Not in the settings as a whole: headers among them are secrets, and so may be what an address says in its query.
        let (url, description) = match dialect {
            Dialect::Sqlite => (
                "SUBSTR(settings ->> '$.url', 1, INSTR((settings ->> '$.url') || '?', '?') - 1)",
                "settings ->> '$.description'",
            ),
            Dialect::Postgres => ("SPLIT_PART(settings::json ->> 'url', '?', 1)", "settings::json ->> 'description'"),
        };
        select
            .and(format!(" AND (LOWER({url}) LIKE "), like(text))
            .and(format!(" ESCAPE '\\' OR LOWER({description}) LIKE "), like(text))
            .then(" ESCAPE '\\')")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::sqlite_plan;

    #[tokio::test]
    async fn endpoints_in_a_state_are_found_by_it() {
        let filter = EndpointFilter { state: Some(EndpointState::Failing), text: Some("a".to_owned()) };
        let found = filter.finish(select(), Id::new(), Dialect::Sqlite);
        let plan = sqlite_plan(Page::<Endpoint> { before: Some(Id::new()), limit: 8 }.finish(found, "id")).await;
        assert!(plan.contains("INDEX endpoints_by_state (tenant_id=? AND state=? AND id<?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
