use super::*;

#[test]
fn shares_are_exact_whatever_the_weights() {
    let mut units = [0; CLASSES.len()];
    let mut weights = [0; CLASSES.len()];
    assert_eq!(share(5, &units, &weights), None);
    (units[0], units[1], units[5]) = (7, 11, 13);
    assert_eq!(share(5, &units, &weights), None);
    (weights[0], weights[1], weights[5]) = (3, 1, 12);
    for nanos in [
        0,
        1,
        2,
        99,
        1_000_003,
        -7,
        i128::from(i64::MAX),
        i128::MAX / 2,
    ] {
        let shares = share(nanos, &units, &weights).unwrap();
        assert_eq!(shares.iter().sum::<i128>(), nanos);
        assert_eq!(shares[2], 0);
    }
    // 21 : 11 : 156 of 188.
    let shares = share(188_000, &units, &weights).unwrap();
    assert_eq!((shares[0], shares[1], shares[5]), (21_000, 11_000, 156_000));
}
