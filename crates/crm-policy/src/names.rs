//! Closed sets of names, each written once: the enum, its text on the wire and back.

/// Declares an enum whose variants each have one text, used by serde, by `Display` and by `from_name`.
macro_rules! named {
    ($(#[$meta:meta])* pub enum $type:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        pub enum $type { $($(#[$doc])* #[serde(rename = $text)] $variant,)+ }

        impl $type {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [$type] = &[$($type::$variant,)+];

            /// Their texts on the wire, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($text,)+];

            /// The text of this value on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $($type::$variant => $text,)+ }
            }

            /// The value with exactly this text; `None` for any other, whatever its case.
            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($text => Some($type::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use named;
