import { Empty } from "../../shared/states";

export default function Overview() {
	return <Empty title="Overview" />;
}
