use super::*;

#[test]
fn values_are_shown_as_tempo_shows_them() {
    let text = |text: &str| Some(Value::StringValue(text.to_owned()));
    assert_eq!(any_value(Static::Duration(1_500_000_000)).value, text("1.5s"));
    assert_eq!(any_value(Static::Nil).value, text("nil"));
    assert_eq!(any_value(Static::Status(tempoform_traceql::Status::Error)).value, text("error"));
    let array = any_value(Static::IntArray(vec![1, 2]));
    assert!(matches!(array.value, Some(Value::ArrayValue(array)) if array.values.len() == 2));
}
