//! What is to be done: tasks.
use crm_core::tasks::{self, Task};

use super::resource::Resource;
use crate::endpoint::{Access, Endpoint};

/// The endpoints of tasks.
pub(super) fn endpoints() -> Vec<Endpoint> {
    Resource::<Task> {
        deletes: Access::User,
        create: tasks::create,
        update: tasks::update,
        ..Resource::plain("/api/tasks", "/api/tasks/{id}", "Work", "a task")
    }
    .endpoints()
}
