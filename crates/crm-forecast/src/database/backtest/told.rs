//! The deals whose forecasts are replayed, with all that is known of their past.

use std::collections::BTreeMap;

use crm_core::{Ctx, Currency, Id, Result, Tx};
use diesel::sql_types as st;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::super::{
    DealFilter,
    deal_histories::{self, CHUNK, DealHistory},
    deals_in_question,
    exchange::{Exchange, LeftOut},
};
use crate::histories::Event;

/// A deal with its past.
pub(in super::super) struct ToldDeal {
    /// The business unit that it belongs to, or belonged to when it was deleted.
    pub(in super::super) business_unit_id: Option<Uuid>,
    pub(in super::super) events: Vec<Event<Uuid>>,
}

/// The histories of the deals in question, with values in the organization's currency.
pub(in super::super) struct Told {
    pub(in super::super) by_pipeline: BTreeMap<Uuid, Vec<ToldDeal>>,
    /// The currencies that were converted.
    pub(super) currencies: BTreeMap<Currency, ()>,
    pub(super) left_out: LeftOut,
}

impl Told {
    /// Of more than `most` deals, every so many: their ids are random in their last digits.
    pub(in super::super) fn read(
        tx: &mut Tx<'_>,
        filter: &DealFilter,
        exchange: &Exchange,
        most: usize,
    ) -> Result<Self> {
        const DEALS: &str = concat!("SELECT d.id FROM deals d WHERE ", deals_in_question!(), " ORDER BY d.id");
        let ctx = tx.ctx;
        let deals: Vec<Uuid> = tx.sql::<st::Uuid>(DEALS).with(|s| filter.bind(ctx, s)).all(tx)?;
        let mut deals = [deals, deleted(tx)?].concat();
        let every = deals.len().div_ceil(most.max(1)) as u128;
        deals.retain(|id| every <= 1 || id.as_u128() % every == 0);
        let mut told = Self { by_pipeline: BTreeMap::new(), currencies: BTreeMap::new(), left_out: LeftOut::default() };
        for chunk in deals.chunks(CHUNK) {
            let histories = deal_histories::read(tx, chunk)?;
            let asked = histories.iter().filter(|it| it.removed_at.is_none() || is_in_question(it, filter, ctx));
            asked.for_each(|history| told.add(history, exchange));
        }
        Ok(told)
    }

    fn add(&mut self, history: &DealHistory, exchange: &Exchange) {
        let Some((_, last)) = history.states.last() else { return };
        let rates: BTreeMap<&str, (Currency, Option<Decimal>)> = history
            .states
            .iter()
            .filter_map(|(_, state)| Some((state.currency.as_str(), state.currency.parse::<Currency>().ok()?)))
            .map(|(code, currency)| (code, (currency.clone(), exchange.rate(&currency))))
            .collect();
        if let Some((currency, _)) = rates.values().find(|(_, rate)| rate.is_none()) {
            return self.left_out.add(currency, 1, last.value.unwrap_or_default());
        }
        let foreign = rates.values().filter(|(currency, _)| *currency != exchange.currency);
        self.currencies.extend(foreign.map(|(currency, _)| (currency.clone(), ())));
        let worth =
            |state: &deal_histories::DealState| state.value?.checked_mul(rates.get(state.currency.as_str())?.1?);
        let deal = ToldDeal { business_unit_id: last.business_unit_id, events: history.events(&worth) };
        self.by_pipeline.entry(last.pipeline_id).or_default().push(deal);
    }
}

/// The deals that were deleted.
fn deleted(tx: &mut Tx<'_>) -> Result<Vec<Uuid>> {
    const DELETED: &str = "SELECT DISTINCT h.entity_id FROM field_history h WHERE h.organization_id = {org} \
         AND h.entity_type = 'deal' AND h.field_name = 'deletedAt' \
         AND NOT EXISTS (SELECT FROM deals d WHERE d.organization_id = h.organization_id AND d.id = h.entity_id) \
         ORDER BY 1";
    Ok(tx.sql::<st::Uuid>(DELETED).all(tx)?)
}

/// Was a deal in question, and one that the caller may see, when it was deleted?
fn is_in_question(history: &DealHistory, filter: &DealFilter, ctx: &Ctx) -> bool {
    let Some((_, last)) = history.states.last() else { return false };
    let is = |asked: Option<Uuid>, given: Option<Uuid>| asked.is_none() || asked == given;
    let units = ctx.scope.units.as_deref();
    let seen = |unit: Uuid| units.is_none_or(|units| units.iter().any(|own| own.uuid() == unit));
    is(filter.pipeline_id.map(Id::uuid), Some(last.pipeline_id))
        && is(filter.business_unit_id.map(Id::uuid), last.business_unit_id)
        && is(filter.owner_id.map(Id::uuid), last.owner_id)
        && last.business_unit_id.is_none_or(seen)
}
