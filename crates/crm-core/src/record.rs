//! What a kind of record tells about itself, once, for reading, listing, changing, history, import, export and documents.
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use uuid::Uuid;
use validator::Validate;

use crate::{
    Id, Reason, Result,
    change::{Change, Draft, New, Saving},
    error::camel,
    gate::Action,
    notifications,
    select::Select,
    tx::Tx,
};

/// The type of a field, as filters, imports and documents see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A line of text.
    Text,
    /// Text of many lines, neither filtered nor sorted.
    LongText,
    /// A whole number.
    Int,
    /// An exact decimal: an amount or a probability.
    Decimal,
    /// Yes or no.
    Bool,
    /// A calendar day.
    Date,
    /// An instant in UTC.
    Instant,
    /// A set of words.
    Tags,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The id of a row in this table.
    Reference(&'static str),
    /// The organization's own fields, by key.
    Custom,
    /// A JSON value of its own shape.
    Json,
}

/// One field of a record. It has one name everywhere: body, history, policy, filter, CSV column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The wire name, such as `stageId`.
    pub name: &'static str,
    /// The SQL column, such as `stage_id`.
    pub column: &'static str,
    /// Its type.
    pub kind: FieldKind,
    /// Can lists be sorted by it?
    pub sortable: bool,
    /// Can lists be filtered by it?
    pub filterable: bool,
    /// Must it have a value? Text that is empty counts as none.
    pub required: bool,
    /// Only rules set it; a request that names it is refused.
    pub read_only: bool,
    /// Must a referenced record be one that the caller may see?
    pub scoped: bool,
    /// The field that holds the currency of an amount.
    pub currency: Option<&'static str>,
    /// Do `q=` and the search look through it?
    pub searched: bool,
}

impl Field {
    /// A field that can be filtered, is optional and may be set by requests.
    pub const fn new(name: &'static str, column: &'static str, kind: FieldKind) -> Self {
        let filterable = !matches!(kind, FieldKind::LongText | FieldKind::Json);
        let (sortable, required, read_only, scoped, searched) = (false, false, false, false, false);
        Self { name, column, kind, sortable, filterable, required, read_only, scoped, currency: None, searched }
    }

    /// Lists can be sorted by it: an index `(organization_id, column, id)` stands in the migrations.
    #[must_use]
    pub const fn sortable(mut self) -> Self {
        self.sortable = true;
        self
    }

    /// It must have a value.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Only rules set it.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The record it refers to belongs to a business unit, and the caller must be able to see it.
    #[must_use]
    pub const fn scoped(mut self) -> Self {
        self.scoped = true;
        self
    }

    /// It is an amount in the currency that the field of this name holds.
    #[must_use]
    pub const fn in_currency(mut self, field: &'static str) -> Self {
        self.currency = Some(field);
        self
    }

    /// Its text is part of what `q=` and the search look through.
    #[must_use]
    pub const fn searched(mut self) -> Self {
        self.searched = true;
        self
    }

    /// Lists cannot be filtered by it.
    #[must_use]
    pub const fn unfiltered(mut self) -> Self {
        self.filterable = false;
        self
    }
}

/// What every record has beside its own fields.
pub const COMMON: [Field; 2] = [
    Field::new("createdAt", "created_at", FieldKind::Instant).sortable().read_only(),
    Field::new("updatedAt", "updated_at", FieldKind::Instant).sortable().read_only(),
];

/// A kind of record that users list, read and change.
pub trait Record: Serialize + Sized + Send + 'static {
    /// The singular, in paths, history and policies: `business_unit`.
    const KIND: &'static str;
    /// The table, which is also the plural: `business_units`.
    const TABLE: &'static str;
    /// Its own fields.
    const FIELDS: &'static [Field];
    /// Do its rows belong to business units (column `business_unit_id`)? Those that do are announced as events.
    const IN_UNITS: bool = false;
    /// The field that names the user it is given to, and how they are told.
    const ASSIGNED: Option<(&'static str, notifications::Kind)> = None;
    /// Has it a column `search_text` for `q=`?
    const SEARCHED: bool = false;
    /// The order of a list that asks for none; `-` is descending.
    const DEFAULT_SORT: &'static str = "-createdAt";
    /// What requests may set, and what rules set for them.
    type Fields: Clone + Serialize + DeserializeOwned + Validate + Default + Send;

    /// Its id.
    fn id(&self) -> Id<Self>;
    /// Counts its changes, from 1.
    fn version(&self) -> i64;
    /// Its fields as they stand.
    fn fields(&self) -> &Self::Fields;
    /// What `q=` and the search look through, before folding.
    fn search_text(_fields: &Self::Fields) -> String {
        String::new()
    }
    /// Which permissions a change of such a record may need. Who has none of them changes none.
    const CHANGES: &'static [Action] = &[Action::Edit];
    /// Which of them this change needs.
    fn asks(_change: &Change<Self>) -> Vec<Action> {
        vec![Action::Edit]
    }
    /// The word for this change in the event that tells of it: the most telling one.
    fn announced_as(_change: &Change<Self>) -> &'static str {
        "updated"
    }
    /// Rules of every new record of this kind beyond those of single fields, on whatever path it comes.
    ///
    /// # Errors
    /// A conflict with other records; bad fields are told to the draft.
    fn check_new(_tx: &mut Tx<'_>, _draft: &mut Draft<Self>) -> Result<()> {
        Ok(())
    }

    /// Takes along what is about records that have gone to another business unit: `unit` is its id as JSON, or `null`.
    ///
    /// # Errors
    /// What the database says.
    fn moved(_tx: &mut Tx<'_>, _ids: Vec<Uuid>, _unit: &Value, _reason: &Reason) -> Result<()> {
        Ok(())
    }

    /// Runs a select.
    ///
    /// # Errors
    /// What the database says.
    fn load(tx: &mut Tx<'_>, select: Select<Self>) -> Result<Vec<Self>>;
    /// Writes a new row. Only a permitted draft can call it.
    ///
    /// # Errors
    /// What the database says.
    fn insert(tx: &mut Tx<'_>, new: &New<'_, Self>) -> Result<Self>;
    /// Writes the changed row. Only a permitted change can call it.
    ///
    /// # Errors
    /// What the database says.
    fn store(tx: &mut Tx<'_>, change: &Saving<'_, Self>) -> Result<Self>;

    /// The name of one in an answer: `businessUnit`.
    fn envelope() -> String {
        camel(Self::KIND)
    }
    /// The name of many in an answer: `businessUnits`.
    fn plural() -> String {
        camel(Self::TABLE)
    }
    /// The field of that wire name, the common ones included.
    fn field(name: &str) -> Option<&'static Field> {
        Self::FIELDS.iter().chain(&COMMON).find(|f| f.name == name)
    }
}

/// The part of [`Record`] that follows from the row's shape: `id`, `fields` (embedded), `version`, `created_at`,
/// `updated_at`, and `search_text` where the word stands at the end.
#[macro_export]
macro_rules! record_rows {
    ($fields:ty, $table:ident $(, $search:ident)?) => {
        type Fields = $fields;
        fn id(&self) -> $crate::Id<Self> { self.id }
        fn version(&self) -> i64 { self.version }
        fn fields(&self) -> &$fields { &self.fields }
        fn load(tx: &mut $crate::Tx<'_>, select: $crate::select::Select<Self>) -> $crate::Result<Vec<Self>> {
            Ok($crate::tx::load(tx, select)?)
        }
        fn insert(tx: &mut $crate::Tx<'_>, new: &$crate::change::New<'_, Self>) -> $crate::Result<Self> {
            use diesel::ExpressionMethods as _;
            let row = (
                $table::id.eq(new.id()), $table::created_at.eq(new.created_at()), $table::updated_at.eq(tx.ctx.now),
                new.fields(), $($table::$search.eq(new.search_text()),)?
            );
            Ok(tx.insert($table::table, row).with(|row| row.returning(<Self as diesel::Selectable<diesel::pg::Pg>>::construct_selection())).one(tx)?)
        }
        fn store(tx: &mut $crate::Tx<'_>, change: &$crate::change::Saving<'_, Self>) -> $crate::Result<Self> {
            use diesel::{ExpressionMethods as _, QueryDsl as _};
            let values = (
                change.after(), $table::version.eq($table::version + 1), $table::updated_at.eq(tx.ctx.now),
                $($table::$search.eq(change.search_text()),)?
            );
            let row = tx.from($table::table).with(|rows| {
                diesel::update(rows.filter($table::id.eq(change.before().id)))
                    .set(values)
                    .returning(<Self as diesel::Selectable<diesel::pg::Pg>>::construct_selection())
            });
            Ok(row.one(tx)?)
        }
    };
}
