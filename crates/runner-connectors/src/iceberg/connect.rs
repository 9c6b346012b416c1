//! From the plan's words to a catalog and the files of its tables.

use std::path::PathBuf;
use std::sync::Arc;

use iceberg::spec::FormatVersion;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use runner_core::Secret;
use runner_plan::model::{Catalog as CatalogPlan, LoadPlan, Target};
use runner_plan::template::Template;

use super::catalog::{
    Catalog, Credentials, RestCatalog, RestSettings, Signing, SqliteCatalog, TableName, place,
};
use super::error::{IcebergError, Result};
use super::files::TableFiles;
use super::mark;
use super::writer::feed_prefix;
use crate::registry::TargetContext;
use crate::resolve::{ResolvedSettings, Resolver};
use crate::storage::{access_keys, local_path};

/// Names of settings of a REST catalog that stand beside those of the storage.
const TOKEN_URI: &[&str] = &["oauth2-server-uri"];
const SCOPE: &[&str] = &["scope"];

/// A table of a catalog, as the plan names it.
pub(super) struct Connection {
    pub catalog: Arc<dyn Catalog>,
    pub name: TableName,
    pub files: TableFiles,
    /// Folder of data files that are written before the table exists.
    pub new_folder: String,
    /// That folder is the runner's own: its files go into the table's when there is one.
    pub is_staged: bool,
    pub format_version: FormatVersion,
    pub compression: String,
}

pub(super) async fn connect(plan: &LoadPlan, context: &TargetContext) -> Result<Connection> {
    let Target::Iceberg {
        catalog,
        namespace,
        table,
        storage,
        format_version,
        compression,
    } = &plan.target
    else {
        return Err(IcebergError::Broken(format!(
            "the load `{}` is not one of an Iceberg table",
            plan.id
        )));
    };
    let settings = context.resolver.settings(storage).await?;
    let files = TableFiles::new(settings.clone());
    let name = TableName {
        namespace: namespace.clone(),
        name: table.clone(),
    };
    let (connected, new_folder): (Arc<dyn Catalog>, _) = match catalog {
        CatalogPlan::Sqlite {
            file,
            name: catalog_name,
            warehouse,
        } => {
            let warehouse = location(warehouse)?;
            let catalog = SqliteCatalog::new(
                PathBuf::from(file),
                catalog_name.clone(),
                &warehouse,
                files.clone(),
            );
            let folder = format!("{}/data", place(&warehouse, &name));
            (Arc::new(catalog), folder)
        }
        CatalogPlan::Rest { uri, warehouse, .. } => {
            let rest = RestSettings {
                uri: uri.clone(),
                warehouse: warehouse.clone(),
                credentials: credentials(catalog, &context.resolver, &settings).await?,
            };
            let catalog = RestCatalog::new(rest, Arc::clone(&context.clock))?;
            (Arc::new(catalog), stage(plan, context)?)
        }
    };
    Ok(Connection {
        catalog: connected,
        name,
        files,
        new_folder,
        is_staged: matches!(catalog, CatalogPlan::Rest { .. }),
        format_version: version(*format_version)?,
        compression: compression.clone(),
    })
}

/// A REST catalog decides where a table is, and some suffer no file there before: until there is a table, its files wait here.
fn stage(plan: &LoadPlan, context: &TargetContext) -> Result<String> {
    let key = mark::key(&context.feed, &plan.id);
    let tenant = utf8_percent_encode(context.feed.tenant.as_str(), NON_ALPHANUMERIC);
    let folder = context
        .data_dir
        .join("stage")
        .join(tenant.to_string())
        .join(feed_prefix(&key));
    location(&folder.to_string_lossy())
}

fn version(number: u8) -> Result<FormatVersion> {
    match number {
        1 => Ok(FormatVersion::V1),
        2 => Ok(FormatVersion::V2),
        other => Err(IcebergError::config(
            format!("Iceberg tables of format version {other} can't be written"),
            "set format-version to 2",
        )),
    }
}

/// A path as a location that other programs understand wherever they run.
fn location(warehouse: &str) -> Result<String> {
    let unusable = |reason: String| {
        IcebergError::config(
            format!("`{warehouse}` is no folder for a warehouse: {reason}"),
            "name a folder, or a location such as `s3://bucket/prefix`",
        )
    };
    // Absolute as it is: what other programs wrote below it is called so.
    if warehouse.starts_with("file:///") {
        return Ok(warehouse.to_owned());
    }
    let Some(path) = local_path(warehouse).map_err(|cause| unusable(cause.to_string()))? else {
        return Ok(warehouse.to_owned());
    };
    let path = std::path::absolute(path).map_err(|cause| unusable(cause.to_string()))?;
    Ok(format!("file://{}", path.display()))
}

async fn credentials(
    catalog: &CatalogPlan,
    resolver: &Resolver,
    settings: &ResolvedSettings,
) -> Result<Credentials> {
    let CatalogPlan::Rest {
        token,
        credential,
        signing,
        headers,
        ..
    } = catalog
    else {
        return Ok(Credentials::default());
    };
    let text = |names| settings.get(names).map(|value| value.expose().to_owned());
    let mut extra = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        extra.push((name.clone(), resolver.template(value).await?));
    }
    Ok(Credentials {
        token: optional(token.as_ref(), resolver).await?,
        credential: optional(credential.as_ref(), resolver).await?,
        token_uri: text(TOKEN_URI),
        scope: text(SCOPE),
        signing: signing
            .as_ref()
            .map(|(region, service)| sign_with(region, service, settings))
            .transpose()?,
        headers: extra,
    })
}

async fn optional(template: Option<&Template>, resolver: &Resolver) -> Result<Option<Secret>> {
    match template {
        Some(template) => Ok(Some(resolver.template(template).await?)),
        None => Ok(None),
    }
}

fn sign_with(region: &str, service: &str, settings: &ResolvedSettings) -> Result<Signing> {
    let keys = access_keys(settings).ok_or_else(|| {
        IcebergError::config(
            "the catalog's requests are to be signed, and there are no keys to sign them with",
            "set `access_key_id` and `secret_access_key` at the connection, or in the AWS_* environment",
        )
    })?;
    Ok(Signing {
        region: region.to_owned(),
        service: service.to_owned(),
        access_key_id: keys.access_key_id,
        secret_access_key: keys.secret_access_key,
        session_token: keys.session_token,
    })
}
