//! Moments as logs write them.

/// A moment as a log writes it, often without year and time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The year, where it is written.
    pub year: Option<u16>,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 60.
    pub second: u8,
    /// 0 to 999,999; 0 where it is not written.
    pub microsecond: u32,
    /// Seconds east of UTC, where it is written; otherwise it is local time.
    pub offset: Option<i32>,
}
