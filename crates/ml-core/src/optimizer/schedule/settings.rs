//! What the settings of schedules over epochs have in common.

/// Makes the settings of a schedule: its own and those of the warm-up and the interval.
macro_rules! scheduler_struct {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
            /// Epochs over which the learning rate first grows linearly from `warmup_start_factor`
            /// times its value, before the schedule begins.
            pub warmup_epochs: u32,
            /// In (0, 1].
            pub warmup_start_factor: f64,
            /// `epoch` or `step`.
            pub interval: $crate::optimizer::schedule::Interval,
        }

        impl Default for $name {
            fn default() -> $name {
                $name {
                    $($field: $default,)*
                    warmup_epochs: 0,
                    warmup_start_factor: 0.01,
                    interval: $crate::optimizer::schedule::Interval::Epoch,
                }
            }
        }

        impl $name {
            fn own_warmup(&self) -> $crate::optimizer::schedule::Warmup {
                $crate::optimizer::schedule::Warmup {
                    epochs: self.warmup_epochs,
                    start_factor: self.warmup_start_factor,
                    interval: self.interval,
                }
            }
        }
    };
}

pub(super) use scheduler_struct;
