//! A forecast over 10,000, 100,000 and a million open deals next to bare SQL over the same rows, in turns: the ratio is what
//! counts, since both share the machine with whatever else runs on it. The quickest of the rounds is told, and the median.
//!
//! "Figures" is the bare aggregate that answers the question: counts and the three values of a forecast by stage, each deal
//! weighed by its own probability or its stage's, and by one of two estimates for its age. "Sums" asks less: counts and values
//! by stage. The distribution, and estimates by seven ages, come on top of both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark fails by panicking")]

use std::time::{Duration, Instant};

use crm_core::{
    clock,
    testing::{TestDatabase, TestOrganization},
};
use crm_forecast::database::{Days, DealFilter, pipeline, stage_statistics};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types::Text};

const ROUNDS: usize = 15;

const SUMS: &str = "SELECT stage_id, count(*), sum(value) FROM deals WHERE organization_id = '{org}' AND status = 'open' \
     GROUP BY stage_id";

const FIGURES: &str = "SELECT d.stage_id, count(*), sum(d.value), sum(d.value * coalesce(d.probability, s.probability)), \
     sum(d.value * CASE WHEN d.stage_entered_at > now() - interval '30 days' THEN 0.3 ELSE 0.2 END) FROM deals d \
     JOIN stages s ON s.organization_id = d.organization_id AND s.id = d.stage_id \
     WHERE d.organization_id = '{org}' AND d.status = 'open' GROUP BY d.stage_id";

fn main() {
    for deals in [10_000, 100_000, 1_000_000] {
        measure(deals);
    }
}

fn measure(deals: usize) {
    let database = TestDatabase::new();
    let house = TestOrganization::new(&database, "acme");
    let mut conn = database.connect();
    let org = house.id.to_string();
    let filled = timed(|| fill(&mut conn, &org, deals));
    println!("{deals:>9} open deals, filled in {:.1} s, load {}", filled.as_secs_f64(), load());
    house.door.system_write(house.id, clock::now(), stage_statistics::compute_all).unwrap();
    let forecast = || {
        let read = |tx: &mut crm_core::Tx<'_>| pipeline::forecast(tx, &DealFilter::default(), &Days::default());
        assert_eq!(house.door.system_read(house.id, clock::now(), read).unwrap().deals_count, deals);
    };
    let [mut ours, mut sums, mut figures] = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        ours.push(timed(forecast));
        sums.push(timed(|| run(&mut conn, SUMS, &org)));
        figures.push(timed(|| run(&mut conn, FIGURES, &org)));
    }
    for (what, at) in [("quickest", 0), ("median", ROUNDS / 2)] {
        let [ours, sums, figures] = [&mut ours, &mut sums, &mut figures].map(|times| {
            times.sort_unstable();
            times[at].as_secs_f64() * 1e3
        });
        println!(
            "{deals:>9} open deals, {what:>8}: forecast {ours:>7.1} ms, figures {figures:>7.1} ms (ratio {:.2}), \
             sums {sums:>7.1} ms (ratio {:.2})",
            ours / figures,
            ours / sums,
        );
        if deals == 1_000_000 {
            let verdict = if ours < 1e3 { "within" } else { "BEYOND" };
            println!("{deals:>9} open deals, {what:>8}: {verdict} a second, load {}", load());
        }
    }
}

/// Rows straight into the table: the benchmark is about reading. Values lie over three decades, deals are up to a year old, and
/// ids ascend as those of a deal's making do. Indexes and foreign keys are taken away for as long as rows come in and are
/// made again as they were: all at once takes a tenth of the time that row by row would.
fn fill(conn: &mut PgConnection, org: &str, deals: usize) {
    let before = indexes_and_keys(conn);
    conn.batch_execute(&format!(
        "SET maintenance_work_mem = '512MB';
        DO $$
        DECLARE again text[]; statement text;
        BEGIN
            SELECT array_agg(made) INTO again FROM ({MADE}) every (made, dropped);
            FOR statement IN SELECT dropped FROM ({MADE}) every (made, dropped) LOOP EXECUTE statement; END LOOP;
            INSERT INTO deals (organization_id, id, title, value, currency, pipeline_id, stage_id, expected_close_date, \
                probability, stage_entered_at, search_text, created_at, updated_at)
                SELECT '{org}', (lpad(to_hex(1764000000000 + n), 12, '0') || '7' || left(m.d5, 3) || '8' || right(m.d5, 15))::uuid, \
                'Deal ' || n, round((100 * power(10, 3 * random()))::numeric, 2), 'USD', s.pipeline_id, s.id, \
                date '2026-01-01' + (n % 365), CASE WHEN n % 50 = 0 THEN 0.6 END, t.at, 'deal ' || n, t.at, t.at
                FROM generate_series(1, {deals}) n
                CROSS JOIN LATERAL (SELECT now() - (n % 365) * interval '1 day' AS at) t
                CROSS JOIN LATERAL (SELECT md5(n::text) AS d5) m
                JOIN (SELECT id, pipeline_id, row_number() OVER (PARTITION BY pipeline_id ORDER BY position) AS place \
                      FROM stages WHERE organization_id = '{org}') s ON s.place = 1 + n % 4;
            FOREACH statement IN ARRAY again LOOP EXECUTE statement; END LOOP;
        END
        $$"
    ))
    .unwrap();
    conn.batch_execute("VACUUM ANALYZE deals").unwrap();
    assert_eq!(indexes_and_keys(conn), before, "as in production");
}

/// What makes and what drops each index of deals that is no key, and each key of theirs to other tables.
const MADE: &str = "SELECT pg_get_indexdef(i.indexrelid), format('DROP INDEX %s', i.indexrelid::regclass) FROM pg_index i \
     WHERE i.indrelid = 'deals'::regclass AND NOT i.indisprimary \
     UNION ALL SELECT format('ALTER TABLE deals ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)), \
     format('ALTER TABLE deals DROP CONSTRAINT %I', conname) FROM pg_constraint \
     WHERE conrelid = 'deals'::regclass AND contype = 'f'";

#[derive(QueryableByName, Debug, PartialEq)]
struct Made {
    #[diesel(sql_type = Text)]
    made: String,
}

fn indexes_and_keys(conn: &mut PgConnection) -> Vec<Made> {
    sql_query(format!("SELECT made FROM ({MADE}) every (made, dropped) ORDER BY made")).load(conn).unwrap()
}

/// Processes that wanted to run, over the last minute and more: what else the machine was busy with. Unknown but on Linux.
fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").map_or_else(|_| "unknown".into(), |text| text.trim().into())
}

fn run(conn: &mut PgConnection, text: &str, org: &str) {
    assert_eq!(sql_query(text.replace("{org}", org)).execute(conn).unwrap(), 4);
}

#[allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}
