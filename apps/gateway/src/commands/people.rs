//! The first people of an organization.
use std::io::Read;

use clap::Args;
use crm_core::{
    clock,
    sessions::tokens::Secret,
    users::{self, FirstUser, Role},
};
use gateway::config::Storage;

use super::{Failure, house::House};

/// Somebody to add.
#[derive(Args)]
pub(crate) struct NewUser {
    #[command(flatten)]
    storage: Storage,
    /// The name of the organization.
    #[arg(long)]
    organization: String,
    /// What they sign in with.
    #[arg(long)]
    email: String,
    /// What people call them.
    #[arg(long)]
    name: String,
    /// ADMIN, MANAGER or SALES_REP.
    #[arg(long, default_value = "ADMIN")]
    role: Role,
    /// The password. Others on this machine can see it in the list of processes; prefer --password-stdin.
    #[arg(long, conflicts_with = "password_stdin", required_unless_present = "password_stdin")]
    password: Option<String>,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

/// Adds somebody, and the organization with them where it is new.
pub(crate) fn create(new: NewUser) -> Result<(), Failure> {
    let password = match new.password {
        Some(password) => password,
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text.lines().next().unwrap_or_default().to_owned()
        }
    };
    let house = House::open(&new.storage)?;
    let first = FirstUser {
        organization: new.organization,
        email: new.email,
        name: new.name,
        role: new.role,
        password: Secret::new(password),
    };
    let made = users::create_first(&house.door, &first, clock::now())?;
    let what = if made.is_new { "is added" } else { "was there already; nothing is changed" };
    println!("{} {what} (organization {}).", made.user.fields.email, made.organization);
    house.close()
}
