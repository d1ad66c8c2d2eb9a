//! What the program does from the shell, one file to a command.
pub(crate) mod backing_up;
pub(crate) mod examining;
pub(crate) mod house;
pub(crate) mod importing;
pub(crate) mod keys;
pub(crate) mod people;
pub(crate) mod restoring;
pub(crate) mod serving;

/// A failure, in words for whoever started the program.
pub(crate) type Failure = Box<dyn std::error::Error>;
