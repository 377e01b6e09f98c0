//! A new master key: tenants' keys are wrapped anew. No text is touched.

use serde::Serialize;

use super::database::{begin, checkpoint, end, find_key, open, tenants};
use super::keys::Address;
use super::master::Keyring;
use super::{PromptError, PromptSettings};

/// What a change of the master key did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rotated {
    /// The id of the key that wraps now.
    pub master_key: String,
    /// Tenants' keys that were wrapped anew.
    pub rewrapped: u64,
    /// Those that were wrapped by it already.
    pub unchanged: u64,
}

/// Wraps every tenant's key by the current master key. It may be interrupted and repeated.
///
/// # Errors
/// When the database cannot be used, or a key is wrapped by a master key that is not configured.
pub async fn rotate(settings: &PromptSettings) -> Result<Rotated, PromptError> {
    let mut connection = open(&settings.database, settings.busy_timeout, false).await?;
    let keyring = Keyring::open(settings, false)?;
    let mut rotated = Rotated {
        master_key: keyring.current(),
        rewrapped: 0,
        unchanged: 0,
    };
    for (tenant, stored) in tenants(&mut connection).await? {
        if stored.wrapped.by == rotated.master_key {
            rotated.unchanged += 1;
            continue;
        }
        let address = Address::tenant(&tenant);
        let key = stored.open_tenant(&address, &keyring)?;
        let wrapped = keyring.wrap(&address, stored.id, &key)?;
        begin(&mut connection).await?;
        let done = async {
            // Erased in this moment: it must not come back.
            let still = find_key(&mut connection, &address).await?;
            if still.is_none_or(|still| still.id != stored.id) {
                return Ok(false);
            }
            sqlx::query("UPDATE keys SET wrapped = ?, wrapped_by = ? WHERE id = ?")
                .bind(&wrapped.bytes)
                .bind(&wrapped.by)
                .bind(stored.id.0.as_slice())
                .execute(&mut connection)
                .await?;
            Ok(true)
        }
        .await;
        if end(&mut connection, done).await? {
            rotated.rewrapped += 1;
        }
    }
    // What the old master key wrapped shall not stay in the log.
    checkpoint(&mut connection).await?;
    Ok(rotated)
}
