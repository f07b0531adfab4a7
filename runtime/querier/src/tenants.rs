//! Whom a query is for.

use http::HeaderMap;
use tempoform_core::{Error, ErrorKind, TENANT_HEADER, TenantId};

use crate::{ApiError, ApiOptions};

/// The tenants of a request, at least one, sorted and without duplicates.
pub(crate) fn resolve(headers: &HeaderMap, options: &ApiOptions) -> Result<Vec<TenantId>, ApiError> {
    if !options.multitenancy {
        return Ok(vec![TenantId::single()]);
    }
    let header = headers.get(TENANT_HEADER).filter(|value| !value.is_empty()).ok_or(ApiError::NoOrgId)?;
    let header = header.to_str().map_err(|_| {
        Error::new(ErrorKind::Invalid, format!("{TENANT_HEADER} contains bytes that are not printable ASCII"))
    })?;
    let mut tenants = header.split('|').map(one).collect::<Result<Vec<_>, _>>()?;
    tenants.sort_unstable();
    tenants.dedup();
    let unknown = |tenant: &&TenantId| options.tenants.as_ref().is_some_and(|known| !known.contains(*tenant));
    if let Some(unknown) = tenants.iter().find(unknown) {
        return Err(Error::new(ErrorKind::Forbidden, format!("unknown tenant {unknown}")).into());
    }
    if tenants.len() > 1 && !options.multi_tenant_queries {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "{TENANT_HEADER}: {header:?} names several tenants, and multi_tenant_queries_enabled is false"
            ),
        )
        .into());
    }
    if options.max_tenants > 0 && tenants.len() > options.max_tenants {
        let (named, most) = (tenants.len(), options.max_tenants);
        return Err(ApiError::invalid(format!(
            "{TENANT_HEADER} names {named} tenants, a query may ask {most}: see query_frontend.multi_tenant_queries_max_tenants"
        )));
    }
    Ok(tenants)
}

/// One id; metadata after a colon (`id:key=value`) is not part of it.
fn one(text: &str) -> Result<TenantId, Error> {
    text.split_once(':').map_or(text, |(id, _)| id).parse()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;

    fn resolved(header: Option<&str>) -> Result<Vec<String>, ApiError> {
        let options = ApiOptions { multitenancy: true, ..ApiOptions::default() };
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert(TENANT_HEADER, header.parse().unwrap());
        }
        Ok(resolve(&headers, &options)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn one_or_several() {
        assert_eq!(resolved(Some("b|a|b")).unwrap(), ["a", "b"]);
        assert_eq!(resolved(Some("team:region=eu")).unwrap(), ["team"]);
        assert!(matches!(resolved(None), Err(ApiError::NoOrgId)));
        assert!(matches!(resolved(Some("a||b")), Err(ApiError::Failed(_))));
        assert!(matches!(resolved(Some("a/b")), Err(ApiError::Failed(_))));
    }

    #[test]
    fn where_tenants_are_listed_others_are_unknown() {
        let known = Arc::new(BTreeSet::from(["a".parse().unwrap(), "b".parse().unwrap()]));
        let options = ApiOptions { multitenancy: true, tenants: Some(known), ..ApiOptions::default() };
        let resolved = |header: &str| {
            let headers = HeaderMap::from_iter([(TENANT_HEADER.parse().unwrap(), header.parse().unwrap())]);
            resolve(&headers, &options).map_err(|error| error.status().as_u16())
        };
        assert_eq!(resolved("a|b").unwrap().len(), 2);
        assert_eq!((resolved("c"), resolved("a|c")), (Err(403), Err(403)));
    }

    #[test]
    fn tenants_of_one_query_are_limited() {
        let resolved = |header: &str, max_tenants| {
            let options = ApiOptions { multitenancy: true, max_tenants, ..ApiOptions::default() };
            let headers = HeaderMap::from_iter([(TENANT_HEADER.parse().unwrap(), header.parse().unwrap())]);
            resolve(&headers, &options)
        };
        assert_eq!(resolved("a|b|a", 2).unwrap().len(), 2);
        assert_eq!(resolved("a|b|c", 0).unwrap().len(), 3);
        let refused = resolved("a|b|c", 2).unwrap_err();
        assert_eq!(refused.status(), 400);
        assert!(refused.to_string().contains("names 3 tenants, a query may ask 2"), "{refused}");
    }

    #[test]
    fn header_is_ignored_without_multitenancy() {
        let mut headers = HeaderMap::new();
        headers.insert(TENANT_HEADER, "a/b".parse().unwrap());
        assert_eq!(resolve(&headers, &ApiOptions::default()).unwrap(), [TenantId::single()]);
    }
}
