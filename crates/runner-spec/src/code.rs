//! Every kind of finding has a code of its own, which stays the same for ever.
//!
//! The ranges: 01xx reading the text, 02xx shape (types, keys), 03xx values, 04xx templates and references, 05xx lint,
//! 06xx the plan, 07xx SQL, 08xx what an engine, source or sink can't do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($variant:ident = $id:literal, $title:literal;)*) => {
        /// What a diagnostic is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Code {
            $(
                #[doc = $title]
                #[serde(rename = $id)]
                $variant,
            )*
        }

        impl Code {
            /// Every code, in the order of their numbers.
            pub fn all() -> &'static [Self] {
                &[$(Self::$variant,)*]
            }

            /// The code as it is written: `UIS0201`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// What it is about, in a few words.
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }

            /// What it means and what to do about it, in Markdown: mostly with an example that is wrong and the same put right.
            pub fn explanation(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("explanations/", $id, ".md")),)*
                }
            }
        }
    };
}

codes! {
    NotUtf8 = "UIS0101", "the document is not UTF-8";
    BinaryDocument = "UIS0102", "the document is a binary file";
    DocumentTooLarge = "UIS0103", "the document is larger than what is read";
    EmptyDocument = "UIS0104", "the document is empty";
    YamlSyntax = "UIS0105", "the document is not valid YAML";
    TabIndentation = "UIS0106", "a tab is used as indentation";
    UnclosedQuote = "UIS0107", "a quote or a bracket is never closed";
    BadIndentation = "UIS0108", "a line is indented wrongly";
    JsonSyntax = "UIS0109", "the document is not valid JSON";
    DuplicateKey = "UIS0110", "a key is written twice in one object";
    SeveralDocuments = "UIS0111", "the file holds more than one document";
    TagRefused = "UIS0112", "a YAML tag is used";
    TooDeep = "UIS0113", "values are nested too deeply";
    AliasExpansion = "UIS0114", "aliases expand to more than what is read";
    UnknownAlias = "UIS0115", "an alias names no anchor before it";
    MergeKey = "UIS0116", "a merge key merges something that is no object";
    KeyNotScalar = "UIS0117", "a key is a list or an object";
    NumberOutOfRange = "UIS0118", "a number can't be represented";
    DocumentUnreadable = "UIS0119", "the document can't be read";
    AliasLoop = "UIS0120", "an alias contains itself";
    TooManyFindings = "UIS0121", "the document has more findings than are reported";

    WrongType = "UIS0201", "a value has the wrong type";
    MissingField = "UIS0202", "a required field is missing";
    UnknownKey = "UIS0203", "a key is not known";
    EmptyValue = "UIS0204", "a value is empty where something is needed";
    GivenTwice = "UIS0205", "a field is given in two spellings";
    FieldWithoutEffect = "UIS0206", "a field belongs to another kind and has no effect here";
    OverlayTarget = "UIS0207", "an overlay names something that the document doesn't have";
    SimilarSetting = "UIS0208", "a free setting looks like a misspelt known one";

    UnknownValue = "UIS0301", "a value is none of those that are known";
    BadName = "UIS0302", "a name has characters that names can't have";
    UnsupportedVersion = "UIS0303", "the version of the format is not supported";
    NewerVersion = "UIS0304", "the version of the format is newer than what is known";
    BadCron = "UIS0305", "a schedule is no cron expression";
    BadTimeZone = "UIS0306", "a time zone is not known";
    BadJsonPath = "UIS0307", "a text is no JSONPath";
    BadRegex = "UIS0308", "a text is no regular expression";
    BadUrl = "UIS0309", "a text is no URL";
    BadUrlScheme = "UIS0310", "the scheme of a URL doesn't fit the kind of source";
    BadDuration = "UIS0311", "a text is no duration";
    OutOfRange = "UIS0312", "a number is outside its range";
    RangeReversed = "UIS0313", "a range's minimum is above its maximum";
    BadSecretReference = "UIS0314", "a text is no reference to a secret";
    BadStatus = "UIS0315", "a text is no HTTP status";
    BadForEach = "UIS0316", "`for_each` has none of its forms";
    BadTableName = "UIS0317", "a text is no table name";
    BadPartition = "UIS0318", "a partition is neither a column nor a transform of one";
    BadTimestamp = "UIS0319", "a text is no point in time";
    ContractKeyword = "UIS0320", "the contract uses a JSON Schema keyword that is not checked";
    ContractReference = "UIS0321", "the contract uses a reference that can't be followed";
    ContractShape = "UIS0322", "the contract does not describe an object";
    BadHeader = "UIS0323", "a text is no HTTP header";
    BadTimeFormat = "UIS0324", "a text is no time format";
    BadField = "UIS0325", "a text is no name of a field";

    TemplateSyntax = "UIS0401", "a template is not well formed";
    UnknownEndpoint = "UIS0402", "no endpoint has this name";
    UnknownView = "UIS0403", "no view has this name";
    DuplicateName = "UIS0404", "a name is used twice";
    UnknownSecret = "UIS0405", "no secret is declared under this name";
    UnknownConfigKey = "UIS0406", "a template names a setting that does not exist";
    UnknownFilter = "UIS0407", "a template uses a filter that does not exist";
    UnresolvableNumber = "UIS0408", "a template is not known early enough for a numeric setting";
    InactiveEndpoint = "UIS0409", "something refers to an endpoint that is switched off";

    ReversedMapping = "UIS0501", "a field mapping is written the other way round";
    CronNeverFires = "UIS0502", "a schedule never fires";
    RequiredFieldUnmapped = "UIS0503", "a required field is yielded by no mapping";
    PlainTextSecret = "UIS0504", "a secret is written in plain text";
    RangeOnUnmappedField = "UIS0505", "a numeric range checks a field that no row has";
    PageSizeMissing = "UIS0506", "pagination has no page size";
    NothingActive = "UIS0507", "no endpoint is active";
    UnusedSecret = "UIS0508", "a secret is declared and never used";
    CredentialsOverHttp = "UIS0509", "credentials are sent over an unencrypted connection";
    MaxPagesCutsOff = "UIS0510", "a limit of pages cuts the stream off";
    CredentialsInUrl = "UIS0511", "a URL contains credentials";
    DuplicateTarget = "UIS0512", "two fields are mapped to one column";
    KeyUnmapped = "UIS0513", "a key column is yielded by no mapping";
    MaskedKey = "UIS0514", "a column that identifies rows is masked away";
    BodyIgnored = "UIS0515", "a request with this method has no body";
    UnusedTimeZone = "UIS0516", "a time zone is given without a schedule";
    UnusedTransform = "UIS0517", "a transform has no active endpoint to work on";

    UnboundVariable = "UIS0601", "a variable is bound by nothing";
    ParentCycle = "UIS0602", "endpoints are each other's parents";
    AmbiguousParent = "UIS0603", "several endpoints could be the parent";
    RoutingAmbiguous = "UIS0604", "it is not clear which rows go to a sink";
    WriteModeConflict = "UIS0605", "write modes contradict each other";
    MergeWithoutKey = "UIS0606", "a merge has no primary key";
    LookbackWithoutKey = "UIS0607", "a lookback has no primary key to recognise rows by";
    ReplaceIncremental = "UIS0608", "a table is replaced by a part of its rows";
    OverlapWithoutKey = "UIS0609", "days are read again without a primary key";
    UnstableOrder = "UIS0610", "pages are cut from an order that is not stated";
    SecretColumn = "UIS0611", "a secret would become a column";
    ContractConflict = "UIS0612", "the contract contradicts the rest of the document";
    PrimaryKeyMissing = "UIS0613", "a primary key names no column";
    PartitionUnknown = "UIS0614", "a partition names no column";
    ReadOnlyRotation = "UIS0615", "a refresh token rotates and can't be written back";
    AtomicPerSink = "UIS0616", "several sinks do not commit together";
    LateRowsUnseen = "UIS0617", "rows that arrive late are not seen";
    BaseUrlMissing = "UIS0618", "a relative path has no base URL";
    TenantMismatch = "UIS0619", "the document belongs to another tenant";
    ConnectionRedirected = "UIS0620", "a connection is replaced by a local one";
    ConnectionMissing = "UIS0621", "a connection is not configured";
    WholeDocument = "UIS0622", "a response has to be read whole";
    OpenColumns = "UIS0623", "the columns of a stream are not known yet";
    ReplaceScope = "UIS0624", "the scope of a replace is not covered by the window";
    CursorFieldMissing = "UIS0625", "the cursor field is no field of the rows";
    UnusedParameter = "UIS0626", "a parameter is used by nothing";
    WindowIncomplete = "UIS0627", "an incremental stream doesn't say how its window is requested";
    DuplicateTable = "UIS0628", "two streams go to one table";
    ForEachEmpty = "UIS0629", "there is nothing to repeat the requests for";
    ReadersSeePart = "UIS0630", "readers can see part of a load";
    StoredSchemaConflict = "UIS0631", "the stored schema contradicts the document";
    FieldNotFound = "UIS0632", "a setting names a field that the stream doesn't have";
    MaskingConflict = "UIS0633", "masking contradicts another setting";
    UnknownConnection = "UIS0634", "no connection has this name";
    EventTimeMissing = "UIS0635", "a streaming setting names no field of the rows";
    WindowVariables = "UIS0636", "window variables are used without an incremental setting";
    CursorFieldText = "UIS0637", "rows of one key are compared by a text";

    SqlSyntax = "UIS0701", "a query is not valid SQL";
    SqlUnknownTable = "UIS0702", "a query names a table that does not exist";
    SqlUnknownColumn = "UIS0703", "a query names a column that does not exist";
    SqlUnknownFunction = "UIS0704", "a query calls a function that portable SQL doesn't have";
    SqlType = "UIS0705", "types in a query don't fit together";
    SqlRefused = "UIS0706", "a query uses something that portable SQL doesn't have";
    SqlImplicitCast = "UIS0707", "a value is cast without being asked for";
    SqlAmbiguousColumn = "UIS0708", "a column of a query could be one of several";
    SqlOpenColumn = "UIS0709", "a query uses a column whose type is not known yet";
    SqlPartialOrder = "UIS0710", "the order of a query leaves ties open";
    SqlNotAQuery = "UIS0711", "a statement is no query";
    SqlInexact = "UIS0712", "a result is equal to rounding only";
    SqlResult = "UIS0713", "the result of a query doesn't fit what it is for";
    SqlInexpressible = "UIS0714", "an engine can't express a query";
    SqlDuplicateColumn = "UIS0715", "a query yields two columns of one name";

    EngineNotSupported = "UIS0801", "this runner doesn't have the engine";
    EngineUnavailable = "UIS0802", "an engine can't be reached";
    EngineFallback = "UIS0803", "another engine than the one named runs the feed";
    UnsupportedProvider = "UIS0804", "a kind of source is not supported yet";
    UnsupportedSink = "UIS0805", "a kind of sink is not supported yet";
    UnsupportedMode = "UIS0806", "a mode is not supported yet";
    UnsupportedTransform = "UIS0807", "a kind of transform is not supported yet";
    UnsupportedScheme = "UIS0808", "addresses of this scheme are not supported yet";
    UnsupportedGuarantee = "UIS0809", "a sink can't give the guarantee asked for";
    UnsupportedFormat = "UIS0810", "a file format is not supported";
    UnsupportedWriteMode = "UIS0811", "a sink can't write in this mode";
    UnsupportedSetting = "UIS0812", "a setting is not supported here";
    UnsupportedType = "UIS0813", "a sink can't hold a column of this type";
}

impl Code {
    /// Which phase reports it.
    pub fn phase(self) -> &'static str {
        match self.as_str().as_bytes()[4] {
            b'1' => "reading",
            b'2' => "shape",
            b'3' => "values",
            b'4' => "references",
            b'5' => "lint",
            b'6' => "plan",
            b'7' => "SQL",
            _ => "support",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that is no diagnostic code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no diagnostic code")]
pub struct UnknownCode(String);

/// Reads `UIS0201`, `uis0201` or `0201`.
impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let upper = text.trim().to_ascii_uppercase();
        let number = upper.strip_prefix("UIS").unwrap_or(&upper);
        Self::all()
            .iter()
            .copied()
            .find(|code| &code.as_str()[3..] == number)
            .ok_or_else(|| UnknownCode(text.to_owned()))
    }
}
