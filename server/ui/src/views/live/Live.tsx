import { Empty } from "../../shared/states";

export default function Live() {
	return <Empty title="Live" />;
}
