//! Macros for enums of features.

/// An enum with one variant for each feature.
macro_rules! envelope {
    ($(#[$doc:meta])* $Envelope:ident [$($trait:ident),*] $($Name:ident($content:ty)),*) => {
        #[derive(Clone, Debug, PartialEq, $($trait),*)]
        $(#[$doc])*
        #[allow(clippy::large_enum_variant, reason = "few exist at a time")]
        pub enum $Envelope {
            $(
                #[allow(missing_docs, reason = "its folder says it")]
                $Name($content),
            )*
        }

        $(
            impl From<$content> for $Envelope {
                fn from(content: $content) -> $Envelope {
                    $Envelope::$Name(content)
                }
            }
        )*
    };
}

/// What a feature does not have: an empty enum of that name.
macro_rules! nothing {
    ($($Name:ident),*) => {
        $(
            #[doc = "There is none."]
            #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
            pub enum $Name {}

            impl std::fmt::Display for $Name {
                fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    match *self {}
                }
            }

            impl $crate::features::feature::Refuses for $Name {
                fn kind(&self) -> $crate::api::RefusalKind {
                    match *self {}
                }
            }
        )*
    };
}
